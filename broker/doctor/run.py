"""Everything that is asked of the streams of one run, for which its settings must be known."""

from collections.abc import Mapping

from broker.doctor.commands import Commands
from broker.doctor.configuration import CHECK, check_configuration
from broker.doctor.durability import check_replicas, check_storage
from broker.doctor.facts import StreamFacts
from broker.doctor.finding import Finding, Level, critical
from broker.streams import run_streams
from schemas.settings import RunSettings


def check_run(
    settings: RunSettings,
    streams: Mapping[str, StreamFacts],
    commands: Commands,
) -> list[Finding]:
    """Judge the streams that the run needs, in the order of the flow."""
    findings: list[Finding] = []
    num_replicas = commands.connection.num_replicas
    for spec in run_streams(settings, num_replicas=num_replicas):
        found = streams.get(spec.name)
        if found is None:
            make = commands.make(settings.name)
            findings.append(critical(CHECK, spec.name, "there is no such stream", make))
            continue
        findings += check_configuration(spec, found, commands)
        # The storage is one of the fields; that it is lost with its server is worth a line.
        storage = check_storage(found)
        findings += [storage] if storage.level is not Level.OK else []
        findings.append(check_replicas(found))
    return findings
