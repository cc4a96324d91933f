"""The twin's stream against a model so plain that it can be read at a glance."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.interface import StreamKind, StreamSpec
from broker.memory.stream import MemoryStream
from broker.subjects import matches
from schemas.errors import QueueFull
from schemas.wire import sha256_hex

ACK_WAIT_S, WINDOW_S, MAX_ACK_PENDING, MAX_PER_SUBJECT = 10.0, 25.0, 4, 3
SUBJECTS = st.sampled_from(["q.alice", "q.bob"])
DATA = st.binary(min_size=1, max_size=1)


class QueueMachine(RuleBasedStateMachine):
    """Random publish, pull, ack and passing of time."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = MemoryStream(
            StreamSpec(
                name="Q",
                subjects=("q.*",),
                kind=StreamKind.QUEUE,
                consumer="c",
                max_messages_per_subject=MAX_PER_SUBJECT,
                max_ack_pending=MAX_ACK_PENDING,
                ack_wait_s=ACK_WAIT_S,
                duplicate_window_s=WINDOW_S,
            ),
            created=0.0,
        )
        self.now = 0.0
        self.waiting: dict[int, tuple[str, bytes]] = {}
        """Stored and not acked."""
        self.in_hand: dict[int, float] = {}
        """Delivered and not acked, with the time of the last delivery."""
        self.redelivered: set[int] = set()
        self.stored_at: dict[bytes, tuple[float, int]] = {}
        self.num_stored = 0
        self.delivered_to = 0

    @rule(subject=SUBJECTS, data=DATA)
    def publish(self, subject: str, data: bytes) -> None:
        def store():
            return self.stream.store(
                subject, data, message_id=sha256_hex(data), now=self.now, wall_time=self.now
            )

        seen_at, sequence = self.stored_at.get(data, (-WINDOW_S, 0))
        if self.now - seen_at < WINDOW_S:
            stored = store()
            assert (stored.sequence, stored.duplicate) == (sequence, True)
        elif sum(on == subject for on, _ in self.waiting.values()) == MAX_PER_SUBJECT:
            with pytest.raises(QueueFull):
                store()
        else:
            stored = store()
            self.num_stored += 1
            assert (stored.sequence, stored.duplicate) == (self.num_stored, False)
            self.waiting[stored.sequence] = (subject, data)
            self.stored_at[data] = (self.now, stored.sequence)

    @rule(count=st.integers(min_value=1, max_value=6))
    def pull(self, count: int) -> None:
        expired = [s for s, since in self.in_hand.items() if since + ACK_WAIT_S <= self.now]
        fresh = [s for s in self.waiting if s > self.delivered_to]
        expected = sorted(expired) + fresh[: MAX_ACK_PENDING - len(self.in_hand)]
        taken = self.stream.take(max_messages=count, max_bytes=1000, now=self.now)
        assert [record.sequence for record in taken] == expected[:count]
        for record in taken:
            assert (record.subject, record.data) == self.waiting[record.sequence]
            if record.sequence in expired:
                self.redelivered.add(record.sequence)
            self.in_hand[record.sequence] = self.now
            self.delivered_to = max(self.delivered_to, record.sequence)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.stream.ack(sequence)
        del self.in_hand[sequence], self.waiting[sequence]
        self.redelivered.discard(sequence)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def in_progress(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.stream.in_progress(sequence, self.now)
        self.in_hand[sequence] = self.now

    @rule(seconds=st.sampled_from([1.0, 5.0, ACK_WAIT_S, WINDOW_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts_agree(self) -> None:
        state = self.stream.state()
        assert state.last_sequence == self.num_stored
        assert state.num_messages == len(self.waiting)
        assert state.num_ack_pending == len(self.in_hand)
        assert state.num_redelivered == len(self.redelivered)
        assert state.num_messages == state.num_pending + state.num_ack_pending
        assert (state.num_bytes == 0) == (not self.waiting)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.*.c", "a.b.d", False),
    ],
)
def test_wildcards(pattern, subject, expected):
    assert matches(pattern, subject) is expected
