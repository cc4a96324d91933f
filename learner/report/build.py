"""Reads a run from its logs, its bucket and its events file, and makes the report."""

from collections.abc import Sequence

from broker.catalogue import read_catalogue
from broker.interface import Broker
from broker.logbook import read_log, read_policies
from broker.store import Store
from learner.events import RunEvent
from learner.report.groups import refused_group, used_group
from learner.report.page import page
from learner.report.story import tell
from schemas.errors import UserError


async def build_report(
    broker: Broker, store: Store, run: str, outside: Sequence[RunEvent] = ()
) -> str:
    """The report of a run as it stands.

    Raises:
        UserError: there is no such run, or its log does not say how it was opened.
    """
    (await read_catalogue(broker)).require(run)
    log = [item async for item in read_log(broker, run)]
    policies = [item async for item in read_policies(broker, run)]
    story = tell(log, policies, outside)
    if story.tally.opened is None:
        raise UserError(f"nothing has happened in run {run}: no coordinator has opened its log")
    used = await used_group(story, store)
    refused = await refused_group(story, store)
    return page(story, used=used, refused=refused)
