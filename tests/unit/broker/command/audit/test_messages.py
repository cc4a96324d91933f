"""Every message has one verdict, or is still in the queue."""

import pytest
from msgspec.structs import replace

from broker.audit import Check, audit, audit_run
from broker.memory import MemoryBroker
from schemas.ledger import GroupRefused
from schemas.wire import encode
from tests.support import hand_built
from tests.support.corrupted import expect_violation, run_audit, said, without

CORRUPTIONS = {
    "a message leaves without a verdict": (
        without(GroupRefused, sequence=7),
        Check.MESSAGES,
        "ROLLOUTS_demo_s0: gone without a verdict: sequence 7",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_named(name: str) -> None:
    expect_violation(*CORRUPTIONS[name])


def test_a_message_that_a_get_does_not_find_is_named() -> None:
    gone = {"ROLLOUTS_demo_s0": frozenset({13})}
    report = run_audit(hand_built.contents(), gone=gone)
    assert said(report, Check.MESSAGES).splitlines() == [
        "ROLLOUTS_demo_s0: 13 last sequence != 12 judged + 0 unjudged",
        "ROLLOUTS_demo_s0: gone without a verdict: sequence 13",
    ]


def test_more_unjudged_than_the_stream_holds_are_named() -> None:
    log = hand_built.contents()
    queue, kept = hand_built.states(log)
    report = audit("demo", [replace(queue, last_sequence=15), kept], hand_built.items(log))
    assert "3 messages have no verdict, 1 are in the stream" in said(report, Check.MESSAGES)


def test_verdicts_on_later_messages_are_counted_apart() -> None:
    log = hand_built.contents()
    queue, kept = hand_built.states(log)
    earlier = replace(queue, first_sequence=9, last_sequence=10, num_messages=2)
    report = audit("demo", [earlier, kept], hand_built.items(log), after=[queue])
    assert report.holds
    assert report.num_stored_since == 2
    sums = [str(equation) for equation in report.equations]
    assert sums[1] == "10 last sequence = 12 judged + 0 unjudged - 2 stored after the snapshot"
    assert sums[2].startswith("12 judged = 7 accepted ")
    assert sums[3].startswith("7 accepted = ")


def test_a_sequence_given_again_after_a_power_loss_holds() -> None:
    log = hand_built.contents()
    again = replace(log[5].events[2], sha256="9" * 64)
    report = run_audit([*log, hand_built.entry(again, instance="coordinator-2")])
    assert report.holds
    assert report.num_reused_sequences == 1
    assert "+ 2 rejected(envelope) " in str(report.equations[2])
    assert str(report.equations[2]).endswith("- 1 sequences given again")


async def test_what_is_missing_in_a_queue_is_found(broker) -> None:
    # Message 13 is taken out of the queue, while 14 keeps the first sequence from telling so.
    await broker.publish("rollouts.demo.s0.1-2.BOB", b"another")
    taken = await broker.pull(
        "ROLLOUTS_demo_s0", "intake_s0", max_messages=1, max_bytes=1 << 20, timeout_s=0
    )
    await broker.publish("rollouts.demo.s0.1-2.BOB", b"and another")
    await taken[0].ack()
    report = await audit_run(broker, "demo")
    assert "gone without a verdict: sequence 13" in said(report, Check.MESSAGES)


async def test_what_is_judged_during_the_audit_is_no_loss(broker) -> None:
    """The coordinator judges and acks message 13 behind the states, before the queue is asked."""

    class Coordinator(MemoryBroker):
        async def missing(self, stream, *, first, last):
            verdict = hand_built.entry(
                replace(hand_built.contents()[7].events[3], sequence=13),
                instance="coordinator-2",
            )
            await broker.append("LOG_demo", "ledger.demo", encode(verdict), expected_last=11)
            queued = await broker.pull(
                "ROLLOUTS_demo_s0", "intake_s0", max_messages=1, max_bytes=1 << 20, timeout_s=0
            )
            await queued[0].ack()
            return await super().missing(stream, first=first, last=last)

    report = await audit_run(Coordinator(broker._server), "demo")
    assert report.holds
    assert str(report.equations[1]) == "13 last sequence = 13 judged + 0 unjudged"
