"""Everything that is asked of the streams of one run, for which its settings must be known."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from broker.doctor.configuration import check_configuration
from broker.doctor.durability import check_replicas, check_storage
from broker.doctor.facts import StreamFacts
from broker.doctor.finding import Finding, Level
from broker.streams import run_streams
from schemas.settings import RunSettings


def check_run(
    settings: RunSettings,
    streams: Mapping[str, StreamFacts],
    *,
    num_replicas: int,
    again: str,
) -> list[Finding]:
    """Judge the streams that the run needs, in the order of the flow.

    `num_replicas` is what they are made with, `again` the command that makes what is not there.
    """
    findings: list[Finding] = []
    for spec in run_streams(settings, num_replicas=num_replicas):
        found = streams.get(spec.name)
        findings += check_configuration(spec, found, again)
        if found is not None:
            # The storage is one of the fields; that it is lost with its server is worth a line.
            storage = check_storage(found)
            findings += [storage] if storage.level is not Level.OK else []
            findings.append(check_replicas(found))
    return findings


def how_to_make(run: str, runs: Path) -> str:
    """The command that makes the streams of a run that are not there."""
    return shlex.join(["broker", "init", "@", str(runs / run / "settings.toml")])
