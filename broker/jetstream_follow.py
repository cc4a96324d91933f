"""Follows a log for ever: the only state is the next sequence.

A passing consumer hands over what is stored, as it is stored. Whatever goes wrong with it (the
server restarts, the connection is lost, the consumer expires, a message is missing), the next one
begins at the next sequence, after a wait with jitter.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec
from nats.aio.msg import Msg
from nats.nuid import NUID

from broker import jetstream_api as api
from broker.interface import Record
from broker.jetstream_config import nanoseconds
from broker.jetstream_pull import to_record
from broker.nats_connection import NatsConnection, status
from broker.retry import full_jitter_s
from schemas.errors import BrokerError, BrokerUnavailable

_BATCH = 256
_BATCH_BYTES = 8 << 20
"""Above any message, so that a batch never ends before its first one."""
_EXPIRES_S = 30.0
_ANSWER_S = 5.0
_INACTIVE_S = 60.0
"""The server forgets a consumer that nobody has asked for so long."""


async def follow(
    connection: NatsConnection, stream: str, *, first: int, subject: str | None
) -> AsyncGenerator[Record]:
    """See `broker.interface.Broker.follow`."""
    following, num_failures = first, 0
    while not connection.closing:
        try:
            async with contextlib.aclosing(
                _consume(connection, stream, following, subject)
            ) as records:
                async for record in records:
                    yield record
                    following, num_failures = record.sequence + 1, 0
        except BrokerUnavailable:
            num_failures += 1
            await asyncio.sleep(full_jitter_s(num_failures))
        except BrokerError:
            if connection.closing:
                return
            raise


async def _consume(
    connection: NatsConnection, stream: str, first: int, subject: str | None
) -> AsyncGenerator[Record]:
    consumer = await _create_consumer(connection, stream, first, subject)
    request = api.NextRequest(batch=_BATCH, max_bytes=_BATCH_BYTES, expires=nanoseconds(_EXPIRES_S))
    next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
    num_seen = 0
    while True:
        async with connection.ask(
            next_subject, msgspec.json.encode(request), timeout_s=_EXPIRES_S + _ANSWER_S
        ) as inbox:
            for _ in range(_BATCH):
                message = await inbox.next()
                if _ends_batch(message):
                    break
                num_seen += 1
                if message.metadata.sequence.consumer != num_seen:
                    raise BrokerUnavailable("a message was lost on the way")
                yield to_record(message)


async def _create_consumer(
    connection: NatsConnection, stream: str, first: int, subject: str | None
) -> str:
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
    return name


def _ends_batch(message: Msg) -> bool:
    if message.reply.startswith("$JS.ACK."):
        return False
    description = (message.headers or {}).get("Description", "")
    if status(message) in (404, 408) or "MaxBytes" in description:
        return True
    raise BrokerUnavailable(f"the consumer is gone: {status(message)} {description}")
