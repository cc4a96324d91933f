"""The seam to the message broker: what the rest of Tributary may ask of it.

Two implementations pass the same contract tests: `broker.jetstream` (NATS) and `broker.memory` (the
twin that unit tests and simulations run on).

| part | durable | used for |
|---|---|---|
| publish, pull | yes | ROLLOUTS: a work queue; an ack removes the message |
| append, read, last, follow | yes | LOG and POLICIES: one writer, one order, read by anyone |
| request, serve, notify, listen | no | leases, grants, who, verdicts, heartbeats |
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class StreamKind(StrEnum):
    QUEUE = "queue"
    """Work queue, discard new: full means that the unconsumed backlog is full."""
    LOG = "log"
    """Kept for ever; purge and delete are denied."""


class StreamSpec(Struct, frozen=True, kw_only=True):
    """A stream that a run needs."""

    name: str
    subjects: tuple[str, ...]
    kind: StreamKind
    max_bytes: int = -1
    """Of the whole stream; -1: unbounded."""
    max_message_bytes: int = -1
    max_messages_per_subject: int = -1
    """Of a queue: one sender and policy version; above it that subject alone is full."""
    consumer: str = ""
    """The one durable consumer of a queue; empty for a log."""
    max_ack_pending: int = 1024
    ack_wait_s: float = 30.0
    duplicate_window_s: float = 120.0
    num_replicas: int = 1
    """Servers of a cluster that each keep a copy."""


class StreamState(Struct, frozen=True, kw_only=True):
    """A stream's counts at one moment."""

    name: str
    created: float
    """Unix seconds on the server's clock; another one once it is deleted and made again."""
    num_messages: int
    num_bytes: int
    first_sequence: int
    last_sequence: int
    """Of all messages ever stored, also after they are gone."""
    num_pending: int = 0
    """Of the queue's consumer: not delivered yet."""
    num_ack_pending: int = 0
    """Of the queue's consumer: delivered, not acked."""
    num_redelivered: int = 0
    max_bytes: int = -1
    first_time: float | None = None
    """Unix seconds on the server's clock, when the oldest message that is there was stored."""
    last_time: float | None = None
    """When a message was stored last, even if it is gone; None before the first."""
    num_consumers: int = 0
    """The queue's own and followers; one that has gone without a word counts for a minute."""


class ConsumerState(Struct, frozen=True, kw_only=True):
    """How far the durable consumer of a queue is."""

    stream: str
    name: str
    num_pending: int
    """Not delivered yet."""
    num_ack_pending: int
    """Delivered, not acked."""
    num_redelivered: int
    """Of those, delivered more than once."""
    delivered_to: int
    """The highest sequence that was ever delivered."""
    ack_floor: int
    """Every message up to this sequence is acked, or gone otherwise."""
    max_ack_pending: int
    ack_wait_s: float


class Record(Struct, frozen=True, kw_only=True):
    """A stored message as a reader sees it."""

    stream: str
    sequence: int
    subject: str
    data: bytes
    time: float
    """Unix seconds on the server's clock, when it was stored."""


class Stored(Struct, frozen=True, kw_only=True):
    """The broker's acknowledgement of a publish."""

    stream: str
    sequence: int
    duplicate: bool
    """True: this message id was seen before; nothing was stored now."""


class Delivery(Protocol):
    """A message of the queue in hand. It comes again if it is not acked within the ack wait."""

    @property
    def record(self) -> Record: ...

    async def ack(self) -> None:
        """Remove the message from the queue; returns when the server has confirmed it."""
        ...

    async def in_progress(self) -> None:
        """Restart the ack wait."""
        ...


Handler = Callable[[str, bytes], Awaitable[bytes]]
"""(subject, request) -> reply."""


class Broker(Protocol):
    """A connection. Methods raise BrokerUnavailable when there is no answer within the time given;
    the connection itself reconnects for ever."""

    @property
    def connected(self) -> bool:
        """False while the server is away."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """Largest message that the server takes, whatever the stream."""
        ...

    async def ensure_stream(self, spec: StreamSpec, *, first_sequence: int = 1) -> None:
        """Create the stream and its consumer, or check that they are as they should be.

        A stream that is made gives its first message `first_sequence`; one that is there goes on
        as it does.

        Raises:
            BrokerError: the stream exists with another configuration; says which part.
        """
        ...

    async def remove_stream(self, stream: str) -> None:
        """Remove a stream with all that is in it; never one of a run.

        Raises:
            BrokerError: there is no such stream.
        """
        ...

    async def state(self, stream: str) -> StreamState:
        """Raises BrokerError when there is no such stream."""
        ...

    async def streams(self) -> list[str]:
        """The names of all streams, sorted."""
        ...

    async def spec(self, stream: str) -> StreamSpec:
        """How a stream is set up; of a foreign one, the part that a spec can say."""
        ...

    async def subjects(self, stream: str, pattern: str = ">") -> dict[str, int]:
        """The messages that are there, counted by subject, of the subjects under a pattern."""
        ...

    async def consumers(self, stream: str) -> list[ConsumerState]:
        """The durable consumers of a stream; followers are none."""
        ...

    # The queue

    async def publish(self, subject: str, data: bytes, *, timeout_s: float = 5.0) -> Stored:
        """Publish once; the same data of the same sender is one message.

        Raises:
            QueueFull, PermissionDenied, MessageTooLarge, BrokerUnavailable
        """
        ...

    async def pull(
        self, stream: str, consumer: str, *, max_messages: int, max_bytes: int, timeout_s: float
    ) -> Sequence[Delivery]:
        """Take messages in hand; empty when none came in time.

        `max_bytes` bounds them together, save that a single larger message comes alone. With a
        `timeout_s` of 0 only what lies ready is taken.
        """
        ...

    async def purge(self, stream: str, *, before: int, pattern: str = ">") -> None:
        """Remove all messages of a queue below a sequence on subjects under a pattern, judged or
        not; acked or not.

        It takes as long as two or three acks, however many they are: a server that syncs always
        does so for each ack. Only for who knows what became of every one of them.
        """
        ...

    async def missing(self, stream: str, *, first: int, last: int) -> set[int]:
        """Which sequences from first to last the stream does not hold: gone, or not there yet."""
        ...

    async def take_back(self, stream: str, consumer: str) -> None:
        """Let what others have in hand come again at once, not after its ack wait.

        For the one reader of a queue, when the reader before it is gone.
        """
        ...

    # The logs

    async def append(
        self, stream: str, subject: str, data: bytes, *, expected_last: int, timeout_s: float = 10.0
    ) -> int:
        """Write one entry behind sequence `expected_last`; returns its sequence.

        A write whose answer was lost is settled by reading the tail: our own bytes there mean
        success.

        Raises:
            Fenced: somebody else's entry stands there.
            BrokerUnavailable: no answer in time; call again with the same arguments.
        """
        ...

    def read(
        self, stream: str, *, first: int = 1, last: int | None = None
    ) -> AsyncIterator[Record]:
        """All records from `first` to `last` (None: to the end as of the call), in order."""
        ...

    def follow(
        self, stream: str, *, first: int = 1, subject: str | None = None
    ) -> AsyncIterator[Record]:
        """As `read`, then waits for more for ever, over reconnects. `subject` filters."""
        ...

    async def last(self, stream: str, subject: str) -> Record | None:
        """The last record on a subject; None when there is none."""
        ...

    async def get(self, stream: str, sequence: int) -> Record | None:
        """One record; None when it is gone or not there yet. Never consumes."""
        ...

    # Words that need not last

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask, and wait for the answer.

        Raises:
            NoResponders: nobody serves the subject (at once).
            BrokerUnavailable: somebody does, or the server is away, but no answer came in time.
            PermissionDenied
        """
        ...

    async def serve(self, subject: str, handler: Handler) -> None:
        """Answer requests, each in its own task, until the connection closes.

        Returns when the server knows of it; one that is away is waited for. A handler that raises
        leaves its request unanswered and is logged. Beyond `broker.turnstile.MAX_INSIDE` requests
        of one subject under way, more get no answer.
        """
        ...

    async def notify(self, subject: str, data: bytes) -> None:
        """Publish without an acknowledgement; lost when nobody listens."""
        ...

    def listen(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """(subject, data) of messages from the call on; a server that is away is waited for.

        Raises, at the first step:
            PermissionDenied
        """
        ...

    async def close(self) -> None:
        """Flush and close. Iterators end."""
        ...
