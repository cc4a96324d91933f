"""How the streams of a run and their consumers are set up in JetStream.

In a queue an ack removes the message and frees its space, and what has no room is refused: full
means that the unconsumed backlog is full, and nothing is ever dropped. It has one consumer, which
has no filter (a cursor passes what its filter excludes, and never comes back) and delivers until
there is an ack. A log is kept for ever: nothing in it can be purged or deleted.

Field names are JetStream's own; only what we mind is here. Durations are in nanoseconds.
"""

from msgspec import Struct, structs
from msgspec.structs import replace

from broker.interface import StreamKind, StreamSpec
from schemas.errors import BrokerError

_HEADER_BYTES = len("NATS/1.0\r\nNats-Msg-Id: \r\n\r\n") + 64
"""JetStream counts the header with the message id towards the size of a message."""


class StreamConfig(Struct, kw_only=True, frozen=True):
    """What we say about a stream. All features driven by a publisher's headers are off.

    Each switch that a server knows is here, so that no newer one turns one on by itself.
    """

    name: str
    subjects: tuple[str, ...] = ()
    """A mirror, which is none of ours, has none, nor the window below."""
    retention: str
    storage: str = "file"
    num_replicas: int = 1
    discard: str = "new"
    discard_new_per_subject: bool = False
    max_msgs: int = -1
    max_bytes: int
    max_msg_size: int
    max_msgs_per_subject: int
    duplicate_window: int = 0
    compression: str = "none"
    allow_direct: bool = True
    mirror_direct: bool = False
    no_ack: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    allow_msg_counter: bool = False
    allow_atomic: bool = False
    allow_batched: bool = False


class NewStream(StreamConfig, frozen=True, kw_only=True):
    """One that is made so that it begins behind the messages of a stream before it."""

    first_seq: int


class ConsumerConfig(Struct, kw_only=True, frozen=True):
    """The one durable consumer of a queue: no filter, whose cursor would pass what it excludes."""

    name: str
    durable_name: str = ""
    """Empty: a follower's, which passes."""
    ack_wait: int = 0
    max_ack_pending: int = 0
    ack_policy: str = "explicit"
    deliver_policy: str = "all"
    max_deliver: int = -1
    filter_subject: str = ""
    filter_subjects: tuple[str, ...] = ()


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def stream_config(spec: StreamSpec) -> StreamConfig:
    """How a stream of ours is set up."""
    is_log = spec.kind is StreamKind.LOG
    bounded = spec.max_message_bytes >= 0
    return StreamConfig(
        name=spec.name,
        subjects=spec.subjects,
        retention="limits" if is_log else "workqueue",
        num_replicas=spec.num_replicas,
        discard_new_per_subject=spec.max_messages_per_subject > 0,
        max_bytes=spec.max_bytes,
        max_msg_size=spec.max_message_bytes + _HEADER_BYTES if bounded else -1,
        max_msgs_per_subject=spec.max_messages_per_subject,
        duplicate_window=nanoseconds(spec.duplicate_window_s),
        deny_delete=is_log,
        deny_purge=is_log,
    )


def new_stream(config: StreamConfig, first_sequence: int) -> StreamConfig:
    """What makes the stream; it is equal to the one that is there only without a beginning."""
    if first_sequence == 1:
        return config
    return NewStream(**structs.asdict(config), first_seq=first_sequence)


def consumer_config(spec: StreamSpec) -> ConsumerConfig:
    return ConsumerConfig(
        name=spec.consumer,
        durable_name=spec.consumer,
        ack_wait=nanoseconds(spec.ack_wait_s),
        max_ack_pending=spec.max_ack_pending,
    )


def spec_of(stream: StreamConfig, consumer: ConsumerConfig | None) -> StreamSpec:
    """What a stream was made from: the other way round of the two functions above."""
    spec = StreamSpec(
        name=stream.name,
        subjects=stream.subjects,
        kind=StreamKind.QUEUE if stream.retention == "workqueue" else StreamKind.LOG,
        max_bytes=stream.max_bytes,
        max_message_bytes=max(-1, stream.max_msg_size - _HEADER_BYTES),
        num_replicas=stream.num_replicas,
        max_messages_per_subject=stream.max_msgs_per_subject,
        duplicate_window_s=stream.duplicate_window / 1e9,
    )
    if consumer is None:
        return spec
    return replace(
        spec,
        consumer=consumer.name,
        max_ack_pending=consumer.max_ack_pending,
        ack_wait_s=consumer.ack_wait / 1e9,
    )


def check_equal(what: str, found: Struct, wanted: Struct) -> None:
    """Raises BrokerError naming the first field that is not as it should be."""
    for field in wanted.__struct_fields__:
        is_, should_be = getattr(found, field), getattr(wanted, field)
        if is_ != should_be:
            raise BrokerError(f"{what} has {field} {is_!r}, wanted is {should_be!r}")
