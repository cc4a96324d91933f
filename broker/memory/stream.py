"""One stream of the in-memory twin: a pure state machine, told the time by its caller.

It behaves as JetStream was measured to: the order of the checks, what is remembered of a refused or
an acked message, and how sizes are counted.
"""

from msgspec import Struct

from broker.fence import WrongLastSequence
from broker.interface import ConsumerState, Record, Stored, StreamKind, StreamSpec, StreamState
from broker.subjects import matches
from schemas.errors import MessageTooLarge, QueueFull

_OVERHEAD_BYTES = 125
"""What the file store adds to subject and data: its own frame, and the header with the id."""


class _InHand(Struct):
    """A delivered message that is not acked."""

    deadline: float
    num_delivered: int


class MemoryStream:
    """Messages, the ids seen, and the state of the one consumer."""

    def __init__(self, spec: StreamSpec, *, created: float, first_sequence: int = 1) -> None:
        self.spec = spec
        self._created = created
        self.records: dict[int, Record] = {}
        self.last_sequence = first_sequence - 1
        self._last_time: float | None = None
        self._num_bytes = 0
        self._num_per_subject: dict[str, int] = {}
        self._seen: dict[str, tuple[float, int]] = {}
        self._delivered_to = self.last_sequence
        self._in_hand: dict[int, _InHand] = {}

    def store(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str,
        now: float,
        wall_time: float,
        expected_last: int | None = None,
    ) -> Stored:
        """Store one message, or say that its id was seen inside the duplicate window.

        Raises:
            WrongLastSequence, MessageTooLarge, QueueFull
        """
        name = self.spec.name
        if 0 <= self.spec.max_message_bytes < len(data):
            raise MessageTooLarge(f"{len(data)} bytes, {name} takes {self.spec.max_message_bytes}")
        if expected_last is not None and expected_last != self.last_sequence:
            raise WrongLastSequence(f"{name} ends at {self.last_sequence}, not {expected_last}")
        self._forget_ids(now)
        if message_id in self._seen:
            return Stored(stream=name, sequence=self._seen[message_id][1], duplicate=True)
        self._check_room(subject, data)
        self.last_sequence += 1
        self.records[self.last_sequence] = Record(
            stream=name, sequence=self.last_sequence, subject=subject, data=data, time=wall_time
        )
        self._last_time = wall_time
        self._num_bytes += _size(subject, data)
        self._num_per_subject[subject] = self._num_per_subject.get(subject, 0) + 1
        self._seen[message_id] = (now, self.last_sequence)
        return Stored(stream=name, sequence=self.last_sequence, duplicate=False)

    def _forget_ids(self, now: float) -> None:
        # Ids are inserted in the order of their times, so the oldest stand first.
        for message_id, (stored_at, _) in list(self._seen.items()):
            if now - stored_at < self.spec.duplicate_window_s:
                return
            del self._seen[message_id]

    def _check_room(self, subject: str, data: bytes) -> None:
        spec = self.spec
        if 0 <= spec.max_bytes < self._num_bytes + _size(subject, data):
            raise QueueFull(f"{spec.name}: maximum bytes exceeded")
        if 0 <= spec.max_messages_per_subject <= self._num_per_subject.get(subject, 0):
            raise QueueFull(f"{spec.name}: maximum messages per subject exceeded")

    def take(self, *, max_messages: int, max_bytes: int, now: float) -> list[Record]:
        """Put messages in hand, those whose ack wait is over first."""
        taken: list[Record] = []
        num_bytes = 0
        for sequence in self._deliverable(now):
            record = self.records[sequence]
            num_bytes += len(record.data)
            if len(taken) == max_messages or (taken and num_bytes > max_bytes):
                break
            self._hand_over(sequence, now)
            taken.append(record)
        return taken

    def _deliverable(self, now: float) -> list[int]:
        expired = [sequence for sequence, held in self._in_hand.items() if held.deadline <= now]
        room = max(0, self.spec.max_ack_pending - len(self._in_hand))
        fresh = [sequence for sequence in self.records if sequence > self._delivered_to]
        return sorted(expired) + fresh[:room]

    def _hand_over(self, sequence: int, now: float) -> None:
        held = self._in_hand.get(sequence)
        num_delivered = held.num_delivered + 1 if held else 1
        self._in_hand[sequence] = _InHand(now + self.spec.ack_wait_s, num_delivered)
        self._delivered_to = max(self._delivered_to, sequence)

    def ack(self, sequence: int) -> None:
        """Remove a message; does nothing when it is gone."""
        self._in_hand.pop(sequence, None)
        record = self.records.pop(sequence, None)
        if record is None:
            return
        self._num_bytes -= _size(record.subject, record.data)
        self._num_per_subject[record.subject] -= 1
        if not self._num_per_subject[record.subject]:
            del self._num_per_subject[record.subject]

    def purge(self, before: int, pattern: str) -> None:
        """Remove all messages below a sequence on subjects under a pattern."""
        records = list(self.records.values())
        for record in records:
            if record.sequence < before and matches(pattern, record.subject):
                self.ack(record.sequence)

    def take_back(self) -> None:
        """Let nothing be in hand: all that is here is delivered again, as if for the first time."""
        self._in_hand.clear()
        self._delivered_to = min(self.records, default=self.last_sequence + 1) - 1

    def in_progress(self, sequence: int, now: float) -> None:
        """Restart the ack wait of a message in hand."""
        if sequence in self._in_hand:
            self._in_hand[sequence].deadline = now + self.spec.ack_wait_s

    def next_expiry(self) -> float | None:
        """When the first ack wait is over; None when nothing is in hand."""
        return min((held.deadline for held in self._in_hand.values()), default=None)

    def state(self, *, num_followers: int = 0) -> StreamState:
        is_queue = self.spec.kind is StreamKind.QUEUE
        return StreamState(
            name=self.spec.name,
            created=self._created,
            num_messages=len(self.records),
            num_bytes=self._num_bytes,
            first_sequence=min(self.records, default=self.last_sequence + 1),
            last_sequence=self.last_sequence,
            num_pending=sum(s > self._delivered_to for s in self.records) if is_queue else 0,
            num_ack_pending=len(self._in_hand),
            num_redelivered=sum(held.num_delivered > 1 for held in self._in_hand.values()),
            max_bytes=self.spec.max_bytes,
            first_time=next((record.time for record in self.records.values()), None),
            last_time=self._last_time,
            num_consumers=bool(self.spec.consumer) + num_followers,
        )

    def subjects(self, pattern: str) -> dict[str, int]:
        """Messages by subject."""
        counts = sorted(self._num_per_subject.items())
        return {subject: count for subject, count in counts if matches(pattern, subject)}

    def consumers(self) -> list[ConsumerState]:
        """The one durable consumer, if there is one."""
        if not self.spec.consumer:
            return []
        state = self.state()
        return [
            ConsumerState(
                stream=self.spec.name,
                name=self.spec.consumer,
                num_pending=state.num_pending,
                num_ack_pending=state.num_ack_pending,
                num_redelivered=state.num_redelivered,
                delivered_to=self._delivered_to,
                ack_floor=min(self._in_hand, default=self._delivered_to + 1) - 1,
                max_ack_pending=self.spec.max_ack_pending,
                ack_wait_s=self.spec.ack_wait_s,
            )
        ]


def _size(subject: str, data: bytes) -> int:
    return len(subject) + len(data) + _OVERHEAD_BYTES
