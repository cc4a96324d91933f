"""Finds stored messages, judged or not, and leaves them where they are.

A message that waits is read by a direct get by sequence, which moves no consumer. What is judged
has left its queue: the log knows it, and the archive or the sample of refused messages has its
bytes.
"""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec import Struct

from broker.interface import Broker, Record
from broker.inventory import Inventory, read_inventory
from broker.look.held import Holder
from broker.look.listing import last_policy
from broker.look.message import Message, Messages, queued
from broker.look.read_on import LogFold
from broker.look.search import Chosen, Search
from broker.look.sight import ANY_VOCABULARY, Context, Sight, look
from broker.store import Store
from schemas import names
from schemas.errors import UserError
from schemas.wire import sha256_hex

_NOBODY: Final = Chosen()


class Peeked(Struct, frozen=True, kw_only=True):
    """What was found."""

    sights: list[Sight]
    num_unseen: int = 0
    """Messages that a condition could not look into, because their bytes were not kept."""


async def peek(
    broker: Broker,
    run: str,
    *,
    open_store: Callable[[], Store],
    log: LogFold[Messages] | None = None,
    stream: str = "",
    last: int = 1,
    sequence: int | None = None,
    chosen: Chosen = _NOBODY,
) -> Peeked:
    """The newest messages of a stream, oldest first; of each queue where none is named.

    A stream is named as `ls` does, a queue also by its shard, the two logs as LOG and POLICIES. Who
    looks again gives the same `log`, which then reads only what is new.

    Raises:
        UserError: there is no such run, stream, actor, reason or field, no message under this
            sequence, or a condition needs bytes and object storage is away.
    """
    inventory = await read_inventory(broker)
    inventory.require(run)
    streams = (inventory.find(run, stream),) if stream else inventory.queues(run)
    if sequence is not None and len(streams) != 1:
        raise UserError(f"say which --stream message {sequence} is in: {', '.join(streams)}")
    if stream and streams[0] not in inventory.queues(run):
        if chosen:
            raise UserError("--actor, --reason and --where choose groups, and a log has none")
        return await _peek_at_log(broker, inventory, run, streams[0], last, sequence)
    # Before the log: what is judged from here on is in the log, or was in the queue.
    candidates = [(name, await broker.state(name)) for name in streams]
    log = log or log_of(run)
    messages = await log.up_to(broker, await broker.state(names.log_stream(run)))
    holder = Holder(broker, run, open_store)
    search = Search(messages, holder, await _context(broker, inventory, run, messages), chosen)
    try:
        sights: list[Sight] = []
        for name, state in candidates:
            end = state.last_sequence if sequence is None else sequence
            start = 1 if sequence is None else sequence
            found = _newest(broker, messages, name, start, end, in_queue=state.first_sequence)
            sights += await search.first(found, count=last)
    finally:
        await holder.close()
    if sequence is not None and not sights and not chosen:
        raise UserError(_not_there(run, streams[0], sequence, candidates[0][1].last_sequence))
    search.check_actor()
    return Peeked(sights=sights, num_unseen=search.num_unseen)


def log_of(run: str) -> LogFold[Messages]:
    """Nothing of it is read yet."""
    return LogFold(run, functools.partial(Messages, run))


async def _newest(
    broker: Broker, messages: Messages, stream: str, start: int, end: int, *, in_queue: int
) -> AsyncIterator[Message]:
    """A queue's messages from `end` back to `start`; `in_queue` is the first that it still has."""
    for sequence in range(end, start - 1, -1):
        judged = list(messages.at(stream, sequence))
        record = await broker.get(stream, sequence) if sequence >= in_queue else None
        if record is not None:
            waiting = queued(messages.run, record, sha256_hex(record.data))
            # A verdict is written a moment before its message is let go.
            if all(message.sha256 != waiting.sha256 for message in judged):
                yield waiting
        for message in judged:
            yield message


async def _context(broker: Broker, inventory: Inventory, run: str, messages: Messages) -> Context:
    opened = messages.tally.opened
    return Context(
        run=run,
        announced=await last_policy(broker, inventory, opened),
        vocabulary_size=opened.vocabulary_size if opened else ANY_VOCABULARY,
    )


def _not_there(run: str, stream: str, sequence: int, last: int) -> str:
    if sequence > last:
        ends = f"its last one was {last}" if last else "it never had one"
        return f"{stream} has no message {sequence}: {ends}"
    return f"message {sequence} has left {stream} without a verdict: `broker audit {run}` says more"


async def _peek_at_log(
    broker: Broker, inventory: Inventory, run: str, stream: str, last: int, sequence: int | None
) -> Peeked:
    end = (await broker.state(stream)).last_sequence
    wanted = range(max(1, end - last + 1), end + 1) if sequence is None else (sequence,)
    context = Context(run=run, announced=None, vocabulary_size=ANY_VOCABULARY)
    records: list[Record] = []
    for each in wanted:
        record = await broker.get(stream, each)
        if record is None and sequence is not None:
            raise UserError(_not_there(run, stream, sequence, end))
        records += [record] if record is not None else []
    return Peeked(sights=[look(record, context) for record in records])
