"""Follows a log for ever: the only state is the next sequence.

A passing consumer hands over what is stored, as it is stored. Whatever goes wrong with it (the
server restarts, the connection is lost, the consumer expires, a message is missing), the next one
begins at the next sequence, after a wait with jitter. It lives on one node of a cluster, which can
die while the connection, to another one, lives: so it says now and then that it is there.
"""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
from nats.aio.msg import Msg
from nats.nuid import NUID

from broker.interface import Record
from broker.jetstream import api
from broker.jetstream.config import nanoseconds
from broker.jetstream.connection import Asking, NatsConnection
from broker.jetstream.inbox import Inbox, status
from broker.jetstream.pull import to_record
from broker.retry import full_jitter_s
from schemas.errors import BrokerError, BrokerUnavailable

_BATCH = 256
_BATCH_BYTES = 8 << 20
"""Above any message, so that a batch never ends before its first one."""
_EXPIRES_S = 30.0
_ANSWER_S = 5.0
_HEARTBEAT_S = 2.0
_SILENCE_S = 5.0
"""After which a consumer is gone: two heartbeats, and one second for their way."""
_INACTIVE_S = 60.0
"""The server forgets a consumer that nobody has asked for so long."""


async def follow(
    connection: NatsConnection, stream: str, *, first: int, subject: str | None
) -> AsyncGenerator[Record]:
    """See `broker.interface.Broker.follow`."""
    # One generator, with none inside: whatever ends it ends all of it.
    following, num_failures = first, 0
    while not connection.link.closing:
        try:
            consumer = await _Consumer.create(connection, stream, following, subject)
            while True:
                async with consumer.batch() as inbox:
                    while (record := await consumer.next(inbox)) is not None:
                        yield record
                        following, num_failures = record.sequence + 1, 0
        except BrokerUnavailable:
            num_failures += 1
            await asyncio.sleep(full_jitter_s(num_failures))
        except BrokerError:
            if connection.link.closing:
                return
            raise


class _Consumer:
    """A passing consumer: hands over batches, one after the other, and skips nothing."""

    def __init__(self, connection: NatsConnection, stream: str, name: str) -> None:
        self._connection = connection
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
        self._num_seen = 0

    @classmethod
    async def create(
        cls, connection: NatsConnection, stream: str, first: int, subject: str | None
    ) -> "_Consumer":
        name = NUID().next().decode()
        config = api.FollowerConfig(
            name=name,
            opt_start_seq=first,
            filter_subject=subject or "",
            inactive_threshold=nanoseconds(_INACTIVE_S),
        )
        # The subject of the call names the filter too, for permissions.
        filtered = f".{subject}" if subject else ""
        await api.call(
            connection,
            f"CONSUMER.CREATE.{stream}.{name}{filtered}",
            api.ConsumerCreate(stream_name=stream, config=config),
            api.ErrorReply,
        )
        return cls(connection, stream, name)

    def batch(self) -> Asking:
        """Ask for the next messages; `next` takes them out of the inbox."""
        self._left = _BATCH
        request = api.NextRequest(
            batch=_BATCH,
            max_bytes=_BATCH_BYTES,
            expires=nanoseconds(_EXPIRES_S),
            idle_heartbeat=nanoseconds(_HEARTBEAT_S),
        )
        return self._connection.ask(
            self._next_subject, msgspec.json.encode(request), timeout_s=_EXPIRES_S + _ANSWER_S
        )

    async def next(self, inbox: Inbox) -> Record | None:
        """The next record; None when the batch is at its end.

        Raises:
            BrokerUnavailable: something went wrong with this consumer.
        """
        if self._left == 0:
            return None
        message = inbox.next_nowait() or await self._wait(inbox)
        while _is_heartbeat(message):
            message = inbox.next_nowait() or await self._wait(inbox)
        if _ends_batch(message):
            return None
        self._left -= 1
        self._num_seen += 1
        if message.metadata.sequence.consumer != self._num_seen:
            raise BrokerUnavailable("a message was lost on the way")
        return to_record(message)

    async def _wait(self, inbox: Inbox) -> Msg:
        inbox.deadline = asyncio.get_running_loop().time() + _SILENCE_S
        return await inbox.next()


def _is_heartbeat(message: Msg) -> bool:
    return status(message) == 100 and not message.reply.startswith("$JS.ACK.")


def _ends_batch(message: Msg) -> bool:
    if message.reply.startswith("$JS.ACK."):
        return False
    description = (message.headers or {}).get("Description", "")
    if status(message) in (404, 408) or "MaxBytes" in description:
        return True
    raise BrokerUnavailable(f"the consumer is gone: {status(message)} {description}")
