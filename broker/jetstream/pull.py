"""Takes messages of a queue in hand, bounded in number and in bytes.

nats-py's own fetch knows no bound in bytes, and a server cuts off a client that has asked for more
than it can take. So the requests are made here. First what lies ready is asked for; when there is
nothing, one message is waited for, and then what has come with it. Every request is read to its
end, so that none hands a message to somebody who no longer listens; in a cluster the server's last
word overtakes messages that wait for other nodes, so it is the count in it that tells the end. None
is made with `no_wait`, which a server leaves without an answer when too many messages are in hand.
"""

import asyncio
import contextlib
from typing import NamedTuple

import msgspec
from nats.aio.msg import Msg

from broker.interface import Record
from broker.jetstream import api
from broker.jetstream.config import nanoseconds
from broker.jetstream.connection import NatsConnection
from broker.jetstream.inbox import status
from schemas.errors import BrokerUnavailable, NoResponders

_READY_S = 0.025
"""For what lies ready, and for what comes in the same moment."""
_ANSWER_S = 5.0
"""How long the server may take for its word that there are no more messages."""
_ACK_S = 2.0
_NUM_TOKENS_V1 = 9
"""A `$JS.ACK` reply without a domain has nine parts; with one, they stand two further on."""


class AckReply(NamedTuple):
    """What the reply subject of a delivered message says of it."""

    stream: str
    sequence: int
    time: float
    """When it was stored, to the microsecond, as a direct get gives it."""


def read_reply(reply: str) -> AckReply:
    """Read `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>...`.

    nats-py reads the time through a float, which cannot hold its nanoseconds, and ends a
    microsecond beside the truth now and then.
    """
    tokens = reply.split(".")
    stream, _, _, sequence, _, time_ns = tokens[
        slice(2, 8) if len(tokens) == _NUM_TOKENS_V1 else slice(4, 10)
    ]
    return AckReply(stream, int(sequence), (int(time_ns) + 500) // 1000 / 1e6)


def to_record(message: Msg) -> Record:
    """A message of a stream as its consumer hands it over."""
    said = read_reply(message.reply)
    return Record(
        stream=said.stream,
        sequence=said.sequence,
        subject=message.subject,
        data=message.data,
        time=said.time,
    )


class NatsDelivery:
    """A message in hand."""

    def __init__(self, connection: NatsConnection, message: Msg) -> None:
        self._connection = connection
        self._reply = message.reply
        self.record = to_record(message)

    async def ack(self) -> None:
        """Raises BrokerUnavailable when the server did not confirm it; it may be called again."""
        try:
            await self._connection.request(self._reply, b"+ACK", timeout_s=_ACK_S)
        except (BrokerUnavailable, NoResponders):
            # A server that was killed may forget a delivery, and leaves its ack without an answer.
            await self._remove()

    async def _remove(self) -> None:
        """Remove the message as such, unless it is gone or another one has its sequence."""
        record = self.record
        try:
            found = await api.get(self._connection, record.stream, record.sequence)
            # Not by its subject: the two ways to read it may spell a hostile one differently.
            if found.data == record.data:
                await api.delete(self._connection, record.stream, record.sequence)
        except api.NoMessage:
            return

    async def in_progress(self) -> None:
        await self._connection.link.send(self._reply, b"+WPI")


async def pull(
    connection: NatsConnection,
    stream: str,
    consumer: str,
    *,
    max_messages: int,
    max_bytes: int,
    timeout_s: float,
) -> list[NatsDelivery]:
    """See `broker.interface.Broker.pull`; NoResponders when nobody serves the consumer."""
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
    end = asyncio.get_running_loop().time() + timeout_s
    taken = await _take_ready(connection, subject, max_messages, max_bytes)
    wait_s = end - asyncio.get_running_loop().time()
    if taken or wait_s <= 0:
        return taken
    taken, _ = await _take(connection, subject, batch=1, wait_s=wait_s)
    room = max_bytes - sum(len(delivery.record.data) for delivery in taken)
    if taken and max_messages > 1 and room > 0:
        # What is in hand is handed over, even if the server goes away at this moment.
        with contextlib.suppress(BrokerUnavailable, NoResponders):
            more, _ = await _take(
                connection, subject, batch=max_messages - 1, max_bytes=room, wait_s=_READY_S
            )
            taken += more
    return taken


async def _take_ready(
    connection: NatsConnection, subject: str, max_messages: int, max_bytes: int
) -> list[NatsDelivery]:
    taken, ending = await _take(
        connection, subject, batch=max_messages, max_bytes=max_bytes, wait_s=_READY_S
    )
    if not taken and ending == 409:
        # The first message alone is above the bound.
        taken, _ = await _take(connection, subject, batch=1, wait_s=_READY_S)
    return taken


async def _take(
    connection: NatsConnection, subject: str, *, batch: int, wait_s: float, max_bytes: int = 0
) -> tuple[list[NatsDelivery], int | None]:
    """The messages, and the status that ended them: 408 no more, 409 a bound is reached."""
    taken: list[NatsDelivery] = []
    wanted, ending = batch, None
    request = api.NextRequest(batch=batch, max_bytes=max_bytes, expires=nanoseconds(wait_s))
    question = msgspec.json.encode(request)
    async with connection.ask(subject, question, timeout_s=wait_s + _ANSWER_S) as inbox:
        while len(taken) < wanted:
            try:
                message = inbox.next_nowait() or await inbox.next()
            except BrokerUnavailable:
                if taken:
                    break
                raise
            # Only the server can put an ack subject there; a header could be a stranger's.
            if message.reply.startswith("$JS.ACK."):
                taken.append(NatsDelivery(connection, message))
            elif (ending := status(message)) == 503:
                raise NoResponders(f"nobody serves {subject}")
            else:
                wanted = batch - _num_unsent(message, of=batch - len(taken))
    return taken, ending


def _num_unsent(message: Msg, *, of: int) -> int:
    """How many of the messages asked for the server will not send; all that are left, unless its
    last word says otherwise."""
    count = (message.headers or {}).get("Nats-Pending-Messages", "")
    return min(int(count), of) if count.isdigit() else of
