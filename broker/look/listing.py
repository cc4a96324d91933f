"""What is on a server: every run and every stream, with numbers that mean something.

A live run moves while it is looked at, so its streams are asked for their counts one behind the
other: queues, POLICIES, LOG. What becomes of a run is written in the opposite order, into LOG
first. So LOG, read as far as its count went, knows a verdict on all that has left a queue, and the
batch of every policy that is shown.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct

from broker.interface import Broker, StreamState
from broker.inventory import Inventory, read_inventory
from broker.logbook import read_policies
from broker.look.backlog import Backlog, backlog
from broker.look.read_on import RunLogs
from broker.tally import fates
from schemas import names
from schemas.errors import PermissionDenied
from schemas.ledger import RunOpened
from schemas.policy import PolicyAnnouncement, PolicyId

T = TypeVar("T")


class StreamView(Struct, frozen=True, kw_only=True):
    """One stream."""

    name: str
    run: str | None
    """None when it belongs to no run."""
    meaning: str
    num_messages: int
    num_bytes: int
    max_bytes: int
    """-1: unbounded."""
    first_sequence: int
    last_sequence: int
    num_pending: int
    """Of a queue: not delivered yet."""
    num_in_hand: int
    """Of a queue: delivered to the coordinator, without a verdict yet."""
    num_redelivered: int
    last_time: float | None
    """Unix seconds, when a message was stored last, even if it is gone; None before the first."""
    first_time: float | None
    """Unix seconds, when the oldest message that is there was stored."""
    num_consumers: int
    """Of a queue: its own. Of a log: followers; one that has gone counts for a minute."""
    lag_groups: int | None
    """Of a queue: without a verdict."""
    lag_versions: int | None
    """Of a queue: how far the oldest of them is behind the last announced policy; None without."""


class VerdictCount(Struct, frozen=True, kw_only=True):
    verdict: str
    """`accepted`, `late`, ...; a rejection with its reason; `purged` without a verdict, with its
    reason too."""
    count: int


class RunView(Struct, frozen=True, kw_only=True):
    """How far a run is."""

    run: str
    policy: PolicyId | None
    """The last one announced."""
    step: int
    """Of the last batch that was cut; 0 before the first."""
    num_steps: int
    """Of the whole run; 0 while no coordinator has opened its log."""
    num_open_leases: int
    num_waiting: int
    """Accepted groups with signal that no batch has taken."""
    verdicts: tuple[VerdictCount, ...]


class Listing(Struct, frozen=True, kw_only=True):
    """What `broker ls --json` prints."""

    runs: tuple[RunView, ...]
    streams: tuple[StreamView, ...]
    unseen: tuple[str, ...] = ()
    """Names of streams that the server does not let be seen with these credentials."""


async def list_server(
    broker: Broker, run: str = "", known: dict[str, RunLogs] | None = None
) -> Listing:
    """All runs and streams, or those of one run; a run's streams in the order of the flow.

    What has been read of the logs stays in `known`, and is not read again. An observer may look at
    one run, and hears the names of all.

    Raises:
        UserError: there is no such run.
        PermissionDenied: one is named, and it may not be seen.
    """
    known = {} if known is None else known
    inventory = await read_inventory(broker)
    if run:
        inventory.require(run)
    runs = (run,) if run else inventory.runs
    own = [stream for name in runs for stream in inventory.own(name)]
    strays = [] if run else [stream for stream in inventory.streams if stream not in own]
    logs_last = sorted(own, key=lambda name: names.run_of_log_stream(name) is not None)
    queues = [name for one in runs for name in inventory.queues(one)]
    may_hide = not run
    subjects = await _seen(broker.subjects, queues, may_hide=may_hide)
    states = await _seen(broker.state, (*logs_last, *strays), may_hide=may_hide)
    views = [
        await view_run(broker, known.setdefault(name, RunLogs(name)), states)
        for name in runs
        if names.log_stream(name) in states
    ]
    announced = {view.run: view.policy for view in views}
    backlogs = {name: backlog(counts) for name, counts in subjects.items()}
    return Listing(
        runs=tuple(views),
        streams=tuple(
            view_stream(inventory, states[name], backlogs.get(name), announced)
            for name in (*own, *strays)
            if name in states
        ),
        unseen=tuple(name for name in (*own, *strays) if name not in states),
    )


async def _seen(
    ask: Callable[[str], Awaitable[T]], streams: Iterable[str], *, may_hide: bool
) -> dict[str, T]:
    """What the server says of each stream, in this order; without those that it hides, if it may.

    Raises:
        PermissionDenied: it hides one and may not.
    """
    found: dict[str, T] = {}
    for name in streams:
        try:
            found[name] = await ask(name)
        except PermissionDenied:
            if not may_hide:
                raise
    return found


async def view_run(broker: Broker, logs: RunLogs, states: Mapping[str, StreamState]) -> RunView:
    """Count a run's logs, as far as they went in `states`."""
    log = await logs.tally(broker, states[names.log_stream(logs.run)])
    policies, announced = states.get(names.policies_stream(logs.run)), None
    if policies and log.opened:
        announced = await logs.announced(broker, log.opened.run_key, policies)
    return RunView(
        run=logs.run,
        policy=announced.policy if announced else None,
        step=log.batches[-1].batch.step if log.batches else 0,
        num_steps=log.opened.settings.trainer.num_steps if log.opened else 0,
        num_open_leases=len(log.open_leases),
        num_waiting=len(log.waiting),
        verdicts=tuple(
            VerdictCount(verdict=verdict, count=count)
            for verdict, count in fates(log).most_common()
        ),
    )


async def last_policy(
    broker: Broker, inventory: Inventory, opened: RunOpened | None, *, last: int | None = None
) -> PolicyId | None:
    """The last policy that POLICIES announces up to sequence `last`; None before the first."""
    policy = None
    if opened is not None and names.policies_stream(opened.settings.name) in inventory.streams:
        run = opened.settings.name
        async for item in read_policies(broker, run, opened.run_key, last=last):
            if isinstance(item.content, PolicyAnnouncement):
                policy = item.content.policy
    return policy


def view_stream(
    inventory: Inventory,
    state: StreamState,
    waiting: Backlog | None,
    announced: Mapping[str, PolicyId | None],
) -> StreamView:
    """Say what a stream's counts are about; `waiting` is what a queue holds."""
    run = inventory.run_of(state.name)
    policy = announced.get(run) if run else None
    return StreamView(
        name=state.name,
        run=run,
        meaning=_meaning(state.name, run, inventory),
        num_messages=state.num_messages,
        num_bytes=state.num_bytes,
        max_bytes=state.max_bytes,
        first_sequence=state.first_sequence,
        last_sequence=state.last_sequence,
        num_pending=state.num_pending,
        num_in_hand=state.num_ack_pending,
        num_redelivered=state.num_redelivered,
        last_time=state.last_time,
        first_time=state.first_time,
        num_consumers=state.num_consumers,
        lag_groups=state.num_messages if waiting else None,
        lag_versions=waiting.behind(policy.version) if waiting and policy else None,
    )


def _meaning(name: str, run: str | None, inventory: Inventory) -> str:
    if run is None:
        return "belongs to no run"
    if name in inventory.queues(run):
        return "groups that wait for a verdict"
    if name == names.log_stream(run):
        return "leases, verdicts, batches"
    return "policies, trainer events"
