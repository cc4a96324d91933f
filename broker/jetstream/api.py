"""The part of JetStream's JSON interface that we use: requests, replies, errors, and the call.

Field names are JetStream's own; only what we set or read is here. Durations are in nanoseconds.
"""

from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct
from nats.aio.msg import Msg

from broker.fence import WrongLastSequence
from broker.jetstream.config import ConsumerConfig, StreamConfig
from broker.jetstream.connection import NatsConnection
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    NoResponders,
    QueueFull,
)

CALL_TIMEOUT_S = 5.0

T = TypeVar("T")


class ApiError(Struct):
    code: int
    err_code: int = 0
    description: str = ""


class NoMessage(BrokerError):
    """Raised when a stream holds no such message."""


class Differs(BrokerError):
    """Raised when a stream or consumer exists with another configuration."""


_ERRORS: dict[int, type[BrokerError]] = {
    10037: NoMessage,
    10043: NoMessage,  # to delete
    10054: MessageTooLarge,
    10058: Differs,  # stream
    10071: WrongLastSequence,
    10077: QueueFull,  # of bytes, of messages, or of messages of one subject
    10148: Differs,  # consumer
    10158: BrokerUnavailable,  # a write with this id, our own of before, is under way
    10164: BrokerUnavailable,  # a write with this expectation, perhaps our own, is under way
}


def to_error(error: ApiError, about: str) -> BrokerError:
    """The error of our tree that an error reply stands for."""
    # Other 500s and 503s: no leader, no store, no resources. The server may get over it.
    default = BrokerUnavailable if error.code >= 500 else BrokerError
    kind = _ERRORS.get(error.err_code, default)
    return kind(f"{about}: {error.description} ({error.err_code})")


class FollowerConfig(Struct, kw_only=True, frozen=True):
    """The passing consumer of a follower of a log."""

    name: str
    opt_start_seq: int
    filter_subject: str
    inactive_threshold: int
    ack_policy: str = "none"
    deliver_policy: str = "by_start_sequence"
    mem_storage: bool = True
    num_replicas: int = 1


class ConsumerCreate(Struct, kw_only=True):
    stream_name: str
    config: ConsumerConfig | FollowerConfig
    action: str = "create"


class NextRequest(Struct, kw_only=True, omit_defaults=True):
    """Asks a consumer for messages."""

    batch: int
    max_bytes: int = 0
    expires: int
    idle_heartbeat: int = 0
    """So often the consumer says that it is there, while it has nothing to hand over."""


class GetRequest(Struct, kw_only=True, omit_defaults=True):
    """Asks a stream's leader for one message; the answer cannot be spoofed by headers."""

    seq: int = 0
    last_by_subj: str = ""


class DeleteRequest(Struct):
    seq: int
    no_erase: bool = True
    """Free the space without overwriting it."""


class PurgeRequest(Struct, kw_only=True, omit_defaults=True):
    seq: int
    """The first that is kept."""
    filter: str = ""


class ErrorReply(Struct):
    error: ApiError | None = None


class StoredMessage(Struct):
    subject: str
    seq: int
    time: datetime
    data: bytes = b""


class GetReply(Struct):
    message: StoredMessage


class PubAck(Struct):
    stream: str
    seq: int
    duplicate: bool = False


class InfoRequest(Struct, kw_only=True):
    """Asks for a stream's subjects with their counts, a page at a time."""

    subjects_filter: str
    offset: int


class StreamCounts(Struct):
    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    first_ts: datetime
    """In the year 1 when nothing is there."""
    last_ts: datetime
    """In the year 1 before the first message."""
    consumer_count: int = 0
    subjects: dict[str, int] | None = None
    """Only where they were asked for and there are any."""


class StreamInfo(Struct):
    created: datetime
    config: StreamConfig
    state: StreamCounts
    total: int = 0
    """Of the subjects that were asked for, on all pages."""


class DetailsRequest(Struct):
    """Asks of a stream also which messages between its first and last are gone."""

    deleted_details: bool


class StreamGaps(StreamCounts):
    deleted: tuple[int, ...] = ()


class StreamDetails(Struct):
    state: StreamGaps


class NamesRequest(Struct):
    """Asks for the names of streams, a page at a time."""

    offset: int


class StreamNames(Struct):
    total: int
    streams: tuple[str, ...] | None = None
    """None on an empty page."""


class Reached(Struct):
    """Up to where a consumer has come."""

    stream_seq: int


class ConsumerInfo(Struct):
    name: str
    config: ConsumerConfig
    delivered: Reached
    ack_floor: Reached
    num_pending: int
    num_ack_pending: int
    num_redelivered: int


class ConsumerList(Struct):
    """One page of them, which is more than a queue of ours ever has."""

    consumers: tuple[ConsumerInfo, ...] = ()


async def call(
    connection: NatsConnection,
    verb: str,
    request: Struct | None,
    kind: type[T],
    timeout_s: float = CALL_TIMEOUT_S,
) -> T:
    """Ask JetStream's interface, for instance `STREAM.INFO.<stream>`.

    Raises:
        BrokerUnavailable: no answer, or no leader.
        BrokerError: what it answers; see `to_error`.
    """
    data = b"" if request is None else msgspec.json.encode(request)
    try:
        answer = await connection.request(f"$JS.API.{verb}", data, timeout_s=timeout_s)
    except NoResponders:
        raise BrokerUnavailable("JetStream is not there, or starting") from None
    return decode(answer, verb, kind)


def decode(answer: Msg, about: str, kind: type[T]) -> T:
    """The answer as the kind of reply that it should be; raises what an error reply stands for."""
    if error := msgspec.json.decode(answer.data, type=ErrorReply).error:
        raise to_error(error, about)
    return msgspec.json.decode(answer.data, type=kind)


async def get(
    connection: NatsConnection, stream: str, sequence: int, timeout_s: float = CALL_TIMEOUT_S
) -> StoredMessage:
    """One message of a stream. Raises NoMessage when it is gone or not there yet."""
    verb, request = f"STREAM.MSG.GET.{stream}", GetRequest(seq=sequence)
    return (await call(connection, verb, request, GetReply, timeout_s)).message


async def delete(connection: NatsConnection, stream: str, sequence: int) -> None:
    """Remove one message from a stream. Raises NoMessage when it is gone already."""
    request = DeleteRequest(seq=sequence)
    await call(connection, f"STREAM.MSG.DELETE.{stream}", request, ErrorReply)
