"""Where a message's bytes are held, and reading them: the queue, the archive, or a kept sample.

Nothing is consumed. Bytes that are not to be had are a sentence, since what the log says of the
message can be shown without them.
"""

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from broker.interface import Broker
from broker.look.message import Message
from broker.objects.archive import Archive
from broker.store import Store
from schemas.errors import (
    DigestMismatch,
    ObjectMissing,
    StoreDenied,
    StoreUnavailable,
    UserError,
)
from schemas.ledger import GroupRefused
from schemas.rollout import RolloutGroup, check_shape
from schemas.verdict import Outcome
from schemas.wire import decode, sha256_hex


class Place(StrEnum):
    """Where bytes are."""

    QUEUE = "queue"
    ARCHIVE = "archive"
    SAMPLE = "sample"
    """Of refused messages, a few per actor and reason are kept."""
    NOWHERE = "nowhere"
    """They were not kept, or cannot be read now."""


class Held(Struct, frozen=True, kw_only=True):
    """Bytes of a message, or why there are none."""

    place: Place
    data: bytes = b""
    missing: str = ""
    """A sentence; empty where the bytes are there."""


class Holder:
    """Reads messages' bytes. Object storage is opened when it is first needed."""

    def __init__(self, broker: Broker, run: str, open_store: Callable[[], Store]) -> None:
        self._broker = broker
        self._run = run
        self._open_store = open_store
        self._store: Store | None = None
        self.away = ""
        """Why object storage does not answer: it is asked once, and not again for each message."""

    async def fetch(self, message: Message) -> Held:
        """A message's bytes; what was never kept is said.

        Raises:
            ObjectMissing, DigestMismatch: the log names them, and object storage has lost them.
            StoreUnavailable, StoreDenied, UserError: object storage cannot be read.
        """
        if message.record is not None:
            return Held(place=Place.QUEUE, data=message.record.data)
        if _is_stored(message):
            return await self._stored(message)
        # The queue may have it still: the verdict is written before the message is let go.
        return await self._in_queue(message) or Held(
            place=Place.NOWHERE, missing=why_not_kept(message)
        )

    async def read(self, message: Message) -> Held:
        """As `fetch`; whatever keeps the bytes away is said, too."""
        if self.away and _is_stored(message):
            return Held(place=Place.NOWHERE, missing=self.away)
        try:
            return await self.fetch(message)
        except (ObjectMissing, DigestMismatch) as error:
            where = f"what the log says of {message.id} is not in object storage"
            return Held(place=Place.NOWHERE, missing=f"{where}: {error}")
        except (StoreUnavailable, StoreDenied, UserError) as error:
            self.away = f"object storage cannot be read: {error}"
            return Held(place=Place.NOWHERE, missing=self.away)

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()

    async def _in_queue(self, message: Message) -> Held | None:
        record = await self._broker.get(message.stream, message.sequence)
        if record is None or sha256_hex(record.data) != message.sha256:
            return None
        return Held(place=Place.QUEUE, data=record.data)

    async def _stored(self, message: Message) -> Held:
        if self._store is None:
            self._store = self._open_store()
        archive = Archive(self._store, self._run)
        if (group := message.twin) is not None:
            data = await archive.read(
                group.segment, offset=group.offset, length=group.length, sha256=group.sha256
            )
            return Held(place=Place.ARCHIVE, data=data)
        return Held(place=Place.SAMPLE, data=await archive.read_refused(message.sha256))


def _is_stored(message: Message) -> bool:
    """Whether the log names an object that has its bytes."""
    if message.record is not None:
        return False
    sample = isinstance(message.event, GroupRefused) and message.event.sample_kept
    return sample or message.twin is not None


def why_not_kept(message: Message) -> str:
    """Why nobody has the bytes of a refused message."""
    if message.verdict == Outcome.REJECTED:
        return (
            f"the bytes of {message.id} were not kept: of what is rejected, the first few per "
            "actor and reason are (intake.refused_samples)"
        )
    return f"the bytes of {message.id} were not kept: it was {message.verdict}, not rejected"


def read_group(data: bytes, vocabulary_size: int) -> RolloutGroup:
    """Decode a group under the codec's guards, and check its arrays.

    Raises:
        Rejected: it is none.
    """
    group = decode(data, RolloutGroup)
    for rollout in group.rollouts:
        check_shape(rollout, vocabulary_size)
    return group
