"""Which subjects have messages in a stream, how many, and what a subject says.

A group's subject is its sender's word: nothing of it is verified.
"""

from collections.abc import Mapping

from msgspec import Struct

from broker.interface import Broker
from broker.inventory import Inventory, read_inventory
from broker.look.read_on import RunLogs
from broker.look.who import NOBODY, the_actor
from schemas import names
from schemas.errors import Rejected
from schemas.policy import PolicyId


class SubjectView(Struct, frozen=True, kw_only=True):
    """One subject; `broker subjects --json` prints a list of them."""

    stream: str
    subject: str
    num_messages: int
    actor: str | None
    """The last three: of a group's subject, else None."""
    policy: PolicyId | None
    behind: int | None
    """Versions behind the last announced policy; below zero where that was never announced."""


async def view_subjects(
    broker: Broker,
    logs: RunLogs,
    *,
    stream: str = "",
    actor: str = "",
    called: Mapping[str, str] = NOBODY,
) -> list[SubjectView]:
    """Subjects by stream, those with the most messages first; of all queues where none is named.

    Raises:
        UserError: there is no such stream, or no such actor in any queue or in LOG.
    """
    inventory = await read_inventory(broker)
    chosen = (inventory.find(logs.run, stream),) if stream else inventory.queues(logs.run)
    newest = await logs.newest(broker, inventory)
    views = [
        _view(name, subject, count, newest)
        for name in chosen
        for subject, count in sorted(
            (await broker.subjects(name)).items(), key=lambda item: (-item[1], item[0])
        )
    ]
    if not actor:
        return views
    known = await _actors(broker, logs, inventory) | {view.actor for view in views if view.actor}
    actor = the_actor(actor, known, called)
    return [view for view in views if view.actor == actor]


async def _actors(broker: Broker, logs: RunLogs, inventory: Inventory) -> set[str]:
    """Everybody who was ever asked for a group."""
    log = await logs.tally(broker, await broker.state(names.log_stream(logs.run)))
    return {lease.actor for lease in log.leases.values()}


def _view(stream: str, subject: str, count: int, newest: PolicyId | None) -> SubjectView:
    actor, policy = None, None
    try:
        parsed = names.parse_rollouts_subject(subject)
    except Rejected:
        pass  # A log's, or a stranger's that the coordinator will refuse.
    else:
        actor, policy = parsed.actor, PolicyId(parsed.incarnation, parsed.version)
    return SubjectView(
        stream=stream,
        subject=subject,
        num_messages=count,
        actor=actor,
        policy=policy,
        behind=newest.version - policy.version if newest and policy else None,
    )
