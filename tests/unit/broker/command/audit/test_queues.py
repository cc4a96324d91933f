"""A queue that is not the one that the run began with, or lost its end, is named."""

from msgspec.structs import replace

from broker.audit import AuditReport, Check, audit, audit_run
from broker.interface import StreamState
from broker.memory import MemoryBroker, MemoryServer
from broker.streams import run_streams
from tests.support import hand_built
from tests.support.corrupted import said

LOG = hand_built.contents()
QUEUE, KEPT = hand_built.states(LOG)


def run_audit(before: StreamState, after: StreamState) -> AuditReport:
    return audit("demo", [before, KEPT], hand_built.items(LOG), after=[after])


def empty(state: StreamState, last_sequence: int) -> StreamState:
    return replace(
        state, last_sequence=last_sequence, first_sequence=last_sequence + 1, num_messages=0
    )


def test_verdicts_above_all_that_a_queue_has_stored_are_named() -> None:
    shorter = empty(QUEUE, 10)
    report = run_audit(shorter, shorter)
    assert not report.holds
    assert report.num_stored_since == 0
    assert said(report, Check.MESSAGES).splitlines() == [
        "ROLLOUTS_demo_s0: 10 last sequence != 12 judged + 0 unjudged",
        "ROLLOUTS_demo_s0: verdicts on what it has not stored: sequences 11, 12; it ends at 10: "
        "its server lost the end of it (a power loss, an older copy), or somebody made it again",
    ]


def test_a_queue_that_gets_shorter_during_the_audit_is_named() -> None:
    report = run_audit(QUEUE, empty(QUEUE, 12))
    assert said(report, Check.MESSAGES) == (
        "ROLLOUTS_demo_s0: ended at 13, and at 12 when the log had been read"
    )


def test_a_queue_that_is_younger_than_the_log_is_named_though_the_sums_come_out() -> None:
    again = replace(QUEUE, created=KEPT.created + 60)
    for before, after in ((again, again), (QUEUE, again)):
        report = run_audit(before, after)
        assert all(equation.holds for equation in report.equations)
        assert "not the queue that the run began with" in said(report, Check.MESSAGES)


async def test_a_queue_that_was_made_again_and_purged_is_named(
    server: MemoryServer, broker: MemoryBroker
) -> None:
    spec = server.streams[hand_built.QUEUE].spec
    assert (await audit_run(broker, "demo")).holds
    del server.streams[hand_built.QUEUE]
    await broker.ensure_stream(spec)
    for number in range(30):
        await broker.publish(hand_built.subject(9, 2), b"message %d" % number)
    await broker.purge(hand_built.QUEUE, before=13)
    report = await audit_run(broker, "demo")
    assert all(equation.holds for equation in report.equations)
    assert said(report, Check.MESSAGES).startswith(
        "ROLLOUTS_demo_s0: was made after LOG, so it is not the queue that the run began with"
    )


def test_queues_are_made_before_the_log() -> None:
    """What tells a queue that was made again."""
    made = [spec.name for spec in run_streams(hand_built.SETTINGS)]
    assert made.index(hand_built.QUEUE) < made.index("LOG_demo")
