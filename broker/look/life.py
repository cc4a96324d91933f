"""The life of a group, from the lease that asked for it to the policy that it helped to make.

Pure in `life_of`: the two logs and an id in, moments out. The queue is asked only for a message
that has no verdict yet.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from broker.interface import Broker, Record
from broker.inventory import read_inventory
from broker.logbook import LogItem, PolicyItem, read_log, read_policies
from broker.look import moments
from broker.look.identifier import Identifier, nothing_has, parse_identifier
from broker.look.moments import Moment
from broker.tally import Tally, tally
from schemas import ledger
from schemas.batch import Batch
from schemas.errors import UserError


class Life(Struct, frozen=True, kw_only=True):
    """The answer; `broker why --json` prints it."""

    id: str
    """As it was asked for."""
    lease_id: int | None
    """None for a message that names no lease of the run."""
    moments: tuple[Moment, ...]


async def life_in_run(broker: Broker, run: str, text: str) -> Life:
    """Read the logs, and tell the life of what `text` names.

    Raises:
        UserError: there is no such run, or nothing in it has this id.
    """
    place = parse_identifier(run, text).place
    inventory = await read_inventory(broker)
    inventory.require(run)
    record = None
    if place is not None and place.stream in inventory.streams:
        record = await broker.get(place.stream, place.sequence)
    # Read after the queue: a message that has just been judged is in the log, or was in the queue.
    log = [item async for item in read_log(broker, run)]
    opened = tally(log[:1]).opened
    policies = [item async for item in read_policies(broker, run, opened.run_key)] if opened else []
    return life_of(run, text, log, policies, record=record)


def life_of(
    run: str,
    text: str,
    log: Sequence[LogItem],
    policies: Sequence[PolicyItem],
    *,
    record: Record | None = None,
) -> Life:
    """Tell the life of what `text` names; `record` is that message, if it is still in the queue.

    Raises:
        UserError: nothing has this id.
    """
    identifier = parse_identifier(run, text)
    known = tally(log)
    lease_id, verdict = identifier.lease_id, None
    if lease_id not in known.leases:
        verdict = find_verdict(identifier, known)
        lease_id = verdict.lease_id if verdict else None
    if lease_id is not None and lease_id in known.leases:
        told = _lease_moments(run, lease_id, log, policies, known)
        return Life(id=text, lease_id=lease_id, moments=tuple(told))
    if verdict is not None:
        told = (moment for item in log for moment in _of_message(run, verdict, item))
        return Life(id=text, lease_id=None, moments=tuple(told))
    if identifier.place in known.purged.by:
        told = _purged_moments(run, identifier.place, log, known)
        return Life(id=text, lease_id=None, moments=tuple(told))
    if record is not None:
        return Life(id=text, lease_id=None, moments=tuple(moments.queued(record, run)))
    if identifier.place is not None and known.left_behind(*identifier.place):
        return Life(id=text, lease_id=None, moments=(moments.lost_at_restore(),))
    raise nothing_has(run, text, known)


def _purged_moments(
    run: str, place: tuple[str, int], log: Sequence[LogItem], known: Tally
) -> Iterator[Moment]:
    """What LOG says of a message that nobody looked at."""
    number = known.purged.by[place]
    purge = known.purged.begun.get(number)
    end = known.purged.told[number]
    for item in log:
        if isinstance(item.content, ledger.LedgerEntry) and end in item.content.events:
            yield from moments.purged(item.time, run, place[1], purge, end)


def find_verdict(identifier: Identifier, known: Tally) -> ledger.VerdictEvent | None:
    if identifier.place is not None:
        # The latest one, where the stream gave the sequence again after a power loss.
        return next(reversed(known.judged.get(identifier.place, [])), None)
    found = {
        event.sha256: event
        for events in known.judged.values()
        for event in events
        if identifier.digest and event.sha256.startswith(identifier.digest)
    }
    if len(found) > 1:
        raise UserError(f"{len(found)} messages have a digest that begins with {identifier.digest}")
    return next(iter(found.values()), None)


def _lease_moments(
    run: str, lease_id: int, log: Sequence[LogItem], policies: Sequence[PolicyItem], known: Tally
) -> Iterator[Moment]:
    for item in log:
        yield from _of_lease(run, lease_id, item)
    for step in [
        logged.batch.step for logged, row in known.placed_rows() if row.lease_id == lease_id
    ]:
        trained = [moment for item in policies for moment in moments.trained(item, step)]
        yield from trained or [moments.now(f"step {step} is not trained yet")]
    if lease_id in known.open_leases:
        yield moments.now("the lease is open")
    elif lease_id in known.waiting:
        yield moments.now("the group waits for a batch")
    elif lease_id in known.without_signal:
        yield moments.now("all its rewards are equal: the group has no signal, no batch takes it")


def _of_lease(run: str, lease_id: int, item: LogItem) -> Iterator[Moment]:
    if isinstance(item.content, Batch):
        for index, row in enumerate(item.content.rows):
            if row.lease_id == lease_id:
                yield moments.in_batch(item.time, item.content, index)
    elif isinstance(item.content, ledger.LedgerEntry):
        for event in item.content.events:
            yield from _event_of_lease(run, lease_id, item.time, event)


def _event_of_lease(
    run: str, lease_id: int, time: float, event: ledger.LedgerEvent
) -> Iterator[Moment]:
    match event:
        case ledger.LeaseIssued(lease=lease) if lease.lease_id == lease_id:
            yield moments.asked(time, event)
        case ledger.LeaseExpired() | ledger.LeaseAbandoned() if event.lease_id == lease_id:
            yield moments.ended(time, event)
        case ledger.GroupAccepted() | ledger.GroupRefused() if event.lease_id == lease_id:
            yield from moments.judged(time, event, run)
        case ledger.GroupsDropped(lease_ids=lease_ids) if lease_id in lease_ids:
            yield moments.dropped(time, event)
        case _:
            pass


def _of_message(run: str, verdict: ledger.VerdictEvent, item: LogItem) -> Iterator[Moment]:
    if isinstance(item.content, ledger.LedgerEntry) and verdict in item.content.events:
        yield from moments.judged(item.time, verdict, run)
