"""What is on a server: every run and every stream, with numbers that mean something.

A live run moves while it is looked at, so its streams are asked for their counts one behind the
other: queues, POLICIES, LOG. What becomes of a run is written in the opposite order, into LOG
first. So LOG, read as far as its count went, knows a verdict on all that has left a queue, and the
batch of every policy that is shown.
"""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from broker.interface import Broker, StreamState
from broker.inventory import Inventory, read_inventory
from broker.logbook import read_log, read_policies
from broker.tally import Tally, verdict_name
from schemas import names
from schemas.ledger import RunOpened
from schemas.policy import PolicyAnnouncement, PolicyId


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
    """Unix seconds, when its last message was stored; None when that one is gone."""


class VerdictCount(Struct, frozen=True, kw_only=True):
    verdict: str
    """`accepted`, `late`, ...; a rejection with its reason."""
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


async def list_server(broker: Broker, run: str = "") -> Listing:
    """All runs and streams, or those of one run; a run's streams in the order of the flow.

    Raises:
        UserError: there is no such run.
    """
    inventory = await read_inventory(broker)
    if run:
        inventory.require(run)
    runs = (run,) if run else inventory.runs
    own = [stream for name in runs for stream in inventory.own(name)]
    strays = [] if run else [stream for stream in inventory.streams if stream not in own]
    logs_last = sorted(own, key=lambda name: names.run_of_log_stream(name) is not None)
    states = {name: await broker.state(name) for name in (*logs_last, *strays)}
    return Listing(
        runs=tuple([await view_run(broker, inventory, states, name) for name in runs]),
        streams=tuple([await view_stream(broker, inventory, states[n]) for n in (*own, *strays)]),
    )


async def view_run(
    broker: Broker, inventory: Inventory, states: Mapping[str, StreamState], run: str
) -> RunView:
    """Count a run's logs, as far as they went in `states`."""
    log = Tally()
    async for item in read_log(broker, run, last=states[names.log_stream(run)].last_sequence):
        log.add(item)
    policies = states.get(names.policies_stream(run))
    verdicts = Counter(verdict_name(event) for events in log.judged.values() for event in events)
    return RunView(
        run=run,
        policy=await last_policy(
            broker, inventory, log.opened, last=policies.last_sequence if policies else None
        ),
        step=log.batches[-1].batch.step if log.batches else 0,
        num_steps=log.opened.settings.trainer.num_steps if log.opened else 0,
        num_open_leases=len(log.open_leases),
        num_waiting=len(log.waiting),
        verdicts=tuple(
            VerdictCount(verdict=verdict, count=count) for verdict, count in verdicts.most_common()
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


async def view_stream(broker: Broker, inventory: Inventory, state: StreamState) -> StreamView:
    """Say what a stream's counts are about."""
    name = state.name
    last = await broker.get(name, state.last_sequence) if state.num_messages else None
    run = next((run for run in inventory.runs if name in inventory.own(run)), None)
    return StreamView(
        name=name,
        run=run,
        meaning=_meaning(name, run, inventory),
        num_messages=state.num_messages,
        num_bytes=state.num_bytes,
        max_bytes=state.max_bytes,
        first_sequence=state.first_sequence,
        last_sequence=state.last_sequence,
        num_pending=state.num_pending,
        num_in_hand=state.num_ack_pending,
        num_redelivered=state.num_redelivered,
        last_time=last.time if last else None,
    )


def _meaning(name: str, run: str | None, inventory: Inventory) -> str:
    if run is None:
        return "belongs to no run"
    if name in inventory.queues(run):
        return "groups that wait for a verdict"
    if name == names.log_stream(run):
        return "leases, verdicts, batches"
    return "policies, trainer events"
