from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.audit import AuditReport, Check, audit, audit_run
from broker.interface import StreamKind, StreamSpec
from broker.logbook import Unreadable
from broker.memory import MemoryBroker
from schemas.batch import Row
from schemas.errors import UserError
from schemas.ledger import (
    GroupAccepted,
    GroupRefused,
    GroupsDropped,
    LeaseAbandoned,
    LeaseExpired,
    LedgerEntry,
    LedgerEvent,
)
from schemas.names import segment_key
from schemas.policy import PolicyId
from schemas.verdict import Outcome
from schemas.wire import encode
from tests.support import hand_built


def changed(log: list, change: Callable) -> list:
    """The log with every event replaced by what `change` makes of it; None leaves it out."""
    result = []
    for content in log:
        if isinstance(content, LedgerEntry):
            events = [change(event) for event in content.events]
            content = replace(content, events=tuple(event for event in events if event is not None))
        result.append(content)
    return result


def without(kind: type, **fields) -> Callable:
    """Leaves out one event."""

    def change(event):
        hit = isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items())
        return None if hit else event

    return lambda log: changed(log, change)


def other(kind: type, which: dict, **fields) -> Callable:
    """Changes fields of one event."""

    def change(event):
        hit = isinstance(event, kind) and all(getattr(event, k) == v for k, v in which.items())
        return replace(event, **fields) if hit else event

    return lambda log: changed(log, change)


def more(event: LedgerEvent) -> Callable:
    """Appends an entry with one more event."""
    return lambda log: [
        *log,
        hand_built.entry(event, instance="coordinator-2"),
    ]


def other_batch(step: int, **fields) -> Callable:
    return lambda log: [
        replace(content, **fields) if getattr(content, "step", None) == step else content
        for content in log
    ]


def other_row(**fields) -> Callable:
    """Changes the first row of batch 2, the last one, so that the chain stays whole."""

    def change(log):
        batch = log[8]
        rows = (replace(batch.rows[0], **fields), *batch.rows[1:])
        return [*log[:8], replace(batch, rows=rows), *log[9:]]

    return change


def third_batch(rows: tuple[Row, ...]) -> Callable:
    """Cuts batch 3 from these rows."""

    def change(log):
        sha256 = hand_built.items(log)[8].sha256
        batch = replace(log[8], step=3, rows=rows, previous_sha256=sha256)
        return [*log, batch]

    return change


def run_audit(log: list, **options) -> AuditReport:
    return audit("demo", hand_built.states(log), hand_built.items(log), **options)


def said(report: AuditReport, check: Check) -> str:
    return "\n".join(found.detail for found in report.violations if found.check is check)


def test_a_good_log_holds() -> None:
    report = run_audit(hand_built.contents())
    assert report.violations == ()
    assert report.holds
    assert [str(equation) for equation in report.equations] == [
        "11 issued = 1 open + 7 fulfilled + 1 refused + 1 expired + 1 abandoned",
        "13 last sequence = 12 judged + 1 unjudged",
        "12 judged = 7 accepted + 1 stale + 1 late + 1 duplicate + 1 rejected(envelope) "
        "+ 1 rejected(reward-mismatch)",
        "7 accepted = 4 in a batch + 1 waiting + 1 no signal + 1 stale at the cut",
    ]
    assert (report.num_batches, report.num_rows) == (2, 4)
    assert (report.stalest_row, report.max_staleness) == (0, 1)


CORRUPTIONS = {
    "a lease is not issued": (
        lambda log: changed(log, lambda event: None if event == hand_built.issued(6) else event),
        Check.LEASES,
        "lease 6 is abandoned and was never issued",
    ),
    "a lease ends twice": (
        more(LeaseExpired(lease_id=0)),
        Check.LEASES,
        "lease 0 ended 2 times: fulfilled, expired",
    ),
    "a lease is answered twice": (
        more(replace(hand_built.accepted(12, 0, 2), sequence=13)),
        Check.LEASES,
        "lease 0 ended 2 times: fulfilled, fulfilled",
    ),
    "a lease is fulfilled by a stranger": (
        other(GroupAccepted, {"lease_id": 10}, actor="MALLORY"),
        Check.LEASES,
        "lease 10 is ALICE's and was fulfilled by MALLORY",
    ),
    "a group is smaller than its lease": (
        other(GroupAccepted, {"lease_id": 10}, rewards=(1.0,)),
        Check.LEASES,
        "lease 10 asks for 2 rollouts, 1 were accepted",
    ),
    "a lease is issued twice": (
        more(replace(hand_built.issued(3), request_id="another")),
        Check.LOG,
        "entry 12 of LOG contradicts an earlier one on the issue of lease 3",
    ),
    "a message leaves without a verdict": (
        without(GroupRefused, sequence=7),
        Check.MESSAGES,
        "ROLLOUTS_demo_s0: gone without a verdict: sequence 7",
    ),
    "a message is judged twice": (
        more(replace(hand_built.contents()[2].events[2], outcome=Outcome.LATE, closes_lease=False)),
        Check.LOG,
        "contradicts an earlier one on the verdict on ROLLOUTS_demo_s0 3",
    ),
    "a verdict is on a foreign stream": (
        other(GroupRefused, {"sequence": 8}, stream="ROLLOUTS_demo_s1"),
        Check.LOG,
        "verdicts on ROLLOUTS_demo_s1, which is no stream of the run",
    ),
    "a group is in two batches": (
        third_batch((hand_built.row(hand_built.accepted(10, 8, 1)),)),
        Check.ONCE,
        "the group of lease 8 has 2 rows, in steps 2, 3",
    ),
    "a group is twice in one batch": (
        third_batch((hand_built.row(hand_built.accepted(12, 10, 2)),) * 2),
        Check.ONCE,
        "the group of lease 10 has 2 rows, in steps 3, 3",
    ),
    "a group is trained on that was never accepted": (
        without(GroupAccepted, lease_id=7),
        Check.GROUPS,
        "in a batch but never accepted: lease 7",
    ),
    "a group is dropped twice": (
        more(GroupsDropped(step=4, lease_ids=(4,))),
        Check.GROUPS,
        "dropped twice: lease 4",
    ),
    "a group is dropped that was never accepted": (
        more(GroupsDropped(step=4, lease_ids=(9,))),
        Check.GROUPS,
        "dropped but never accepted: lease 9",
    ),
    "a dropped group is trained on": (
        third_batch((hand_built.row(hand_built.accepted(5, 4, 0)),)),
        Check.GROUPS,
        "in a batch and dropped as stale: lease 4",
    ),
    "a group without signal is trained on": (
        third_batch((hand_built.row(hand_built.accepted(4, 3, 0, (1.0, 1.0))),)),
        Check.GROUPS,
        "in a batch though without signal: lease 3",
    ),
    "a stale group is trained on": (
        third_batch((hand_built.row(hand_built.accepted(5, 4, 0)),)),
        Check.FRESH,
        "the group of lease 4 is in the batch of step 3 with version 0: staleness 2",
    ),
    "a group is trained on before its policy exists": (
        other_row(policy=PolicyId(1, 2)),
        Check.FRESH,
        "step 2 with version 2: staleness -1",
    ),
    "a fresh group is dropped": (
        more(GroupsDropped(step=3, lease_ids=(10,))),
        Check.FRESH,
        "the group of lease 10 was dropped as stale at step 3 with version 2: staleness 0",
    ),
    "a batch is missing": (
        lambda log: log[:3] + log[4:],
        Check.CHAIN,
        "step 2 follows step 0",
    ),
    "a batch names another before it": (
        other_batch(2, previous_sha256="f" * 64),
        Check.CHAIN,
        "step 2 names ffffffffffff as the batch before it",
    ),
    "a batch is changed after the next one": (
        other_batch(1, run="demo2"),
        Check.CHAIN,
        "as the batch before it",
    ),
    "a row has other bytes": (
        other_row(sha256="0" * 64),
        Check.ROWS,
        "step 2, lease 7: not as accepted: sha256",
    ),
    "a row lies elsewhere": (
        other_row(segment="0" * 64, offset=1, length=2),
        Check.ROWS,
        "step 2, lease 7: not as accepted: segment, offset, length",
    ),
    "a row has other advantages": (
        other_row(advantages=(1.0, -1.0)),
        Check.ROWS,
        "step 2, lease 7: not as accepted: advantages",
    ),
    "a row has an advantage too few": (
        other_row(advantages=(0.5,)),
        Check.ROWS,
        "step 2, lease 7: not as accepted: advantages",
    ),
    "a row is another actor's": (
        other_row(actor="MALLORY"),
        Check.ROWS,
        "step 2, lease 7: not as accepted: actor",
    ),
    "a row is cut before it is accepted": (
        lambda log: [*log[:7], log[8], log[7], *log[9:]],
        Check.ROWS,
        "step 2, lease 7: not as accepted: accepted only later",
    ),
    "a replaced coordinator writes": (
        lambda log: [
            *log,
            hand_built.entry(LeaseAbandoned(lease_id=9), instance="coordinator-1"),
        ],
        Check.LOG,
        "entry 12 of LOG is by coordinator-1, after coordinator-2 had taken over",
    ),
    "a replaced coordinator cuts": (
        other_batch(2, instance="coordinator-1"),
        Check.LOG,
        "entry 9 of LOG is by coordinator-1, after coordinator-2 had taken over",
    ),
    "nothing opens the run": (
        lambda log: log[1:],
        Check.LOG,
        "no entry of LOG opens the run",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_log_is_named(name: str) -> None:
    corrupt, check, detail = CORRUPTIONS[name]
    report = run_audit(corrupt(hand_built.contents()))
    assert not report.holds
    assert detail in said(report, check)


def test_an_unreadable_entry_is_named() -> None:
    log = hand_built.items(hand_built.contents())
    log[4] = replace(log[4], content=Unreadable(detail="not ours"))
    report = audit("demo", hand_built.states(hand_built.contents()), log)
    assert "entry 5 of LOG cannot be read: not ours" in said(report, Check.LOG)


def test_a_gap_in_the_log_is_named() -> None:
    log = hand_built.items(hand_built.contents())
    report = audit("demo", hand_built.states(hand_built.contents()), log[:5] + log[6:])
    assert "LOG goes from sequence 5 to 7" in said(report, Check.LOG)


def test_a_shorter_log_than_its_stream_is_named() -> None:
    log = hand_built.items(hand_built.contents())
    report = audit("demo", hand_built.states(hand_built.contents()), log[:-1])
    assert "LOG ended at 11, and can be read to 10" in said(report, Check.LOG)


def test_a_missing_stream_is_named() -> None:
    log = hand_built.contents()
    report = audit("demo", hand_built.states(log)[1:], hand_built.items(log))
    assert "there is no stream ROLLOUTS_demo_s0" in said(report, Check.LOG)


def test_a_run_that_is_not_opened_yet_holds() -> None:
    report = run_audit([])
    assert report.holds
    assert report.max_staleness is None


def test_another_runs_log_is_named() -> None:
    log = hand_built.contents()
    report = audit("other", hand_built.states(log), hand_built.items(log))
    assert "LOG opens the run demo, not other" in said(report, Check.LOG)


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
    report = audit("demo", [earlier, kept], hand_built.items(log))
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


def test_an_event_said_twice_counts_once() -> None:
    log = hand_built.contents()
    report = run_audit([*log, replace(log[7], instance="coordinator-2")])
    assert report.holds
    assert report.equations == run_audit(log).equations


@pytest.mark.parametrize("index", range(27))
def test_no_event_can_be_left_out_unseen(index: int) -> None:
    log = hand_built.contents()
    events = [event for content in log[1:] for event in getattr(content, "events", ())]
    victim = events[index]
    report = run_audit(changed(log, lambda event: None if event == victim else event))
    # Without these a lease is open, or a group waits: another log, and a sound one.
    sound = isinstance(victim, LeaseExpired | LeaseAbandoned | GroupsDropped)
    assert report.holds == sound, victim


@given(length=st.integers(1, 11), again=st.sets(st.integers(1, 11)))
def test_every_beginning_of_a_sound_log_is_sound(length: int, again: set[int]) -> None:
    log = hand_built.contents()[:length]
    queue, kept = hand_built.states(log)
    queue = replace(queue, first_sequence=1, num_messages=13)
    report = audit("demo", [queue, kept], hand_built.items(log))
    assert report.holds, report.violations
    # Folding an entry twice is folding it once.
    writer = log[-1].instance
    repeated = [
        replace(content, instance=writer)
        for position, content in enumerate(log, 1)
        if position in again and position not in (1, 7) and isinstance(content, LedgerEntry)
    ]
    assert audit("demo", [queue, kept], hand_built.items(log + repeated)) == report


async def test_audit_of_a_run(broker, store) -> None:
    report = await audit_run(broker, "demo", store=store)
    assert report.holds
    assert report.num_rows_hashed == 4


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
    """The coordinator judges and acks message 13 between the states and the direct gets."""

    class Coordinator(MemoryBroker):
        async def get(self, stream, sequence):
            verdict = hand_built.entry(
                replace(hand_built.contents()[7].events[3], sequence=sequence),
                instance="coordinator-2",
            )
            await broker.append("LOG_demo", "ledger.demo", encode(verdict), expected_last=11)
            queued = await broker.pull(
                "ROLLOUTS_demo_s0", "intake_s0", max_messages=1, max_bytes=1 << 20, timeout_s=0
            )
            await queued[0].ack()
            return await super().get(stream, sequence)

    report = await audit_run(Coordinator(broker._server), "demo")
    assert report.holds
    assert str(report.equations[1]) == "13 last sequence = 13 judged + 0 unjudged"


async def test_changed_and_missing_bytes_in_the_archive_are_named(broker, store) -> None:
    first, second = hand_built.contents()[3].rows
    data = await store.get(segment_key("demo", first.segment))
    await store.put(segment_key("demo", first.segment), data[:-1] + b"x")
    await store.delete(segment_key("demo", second.segment))
    report = await audit_run(broker, "demo", store=store)
    assert not report.holds
    found = said(report, Check.ARCHIVE).splitlines()
    assert len(found) == 2
    assert found[0].startswith("step 1, lease 0: ")
    assert found[1].startswith("step 1, lease 1: ")


async def test_another_run_with_a_longer_name_is_left_alone(broker) -> None:
    await broker.ensure_stream(
        StreamSpec(
            name="ROLLOUTS_demo_2_s0",
            subjects=("rollouts.demo_2.s0.*.*",),
            kind=StreamKind.QUEUE,
            consumer="intake_s0",
        )
    )
    await broker.publish("rollouts.demo_2.s0.1-0.BOB", b"not ours")
    assert (await audit_run(broker, "demo")).holds


async def test_an_unknown_run_is_one_sentence(broker) -> None:
    with pytest.raises(UserError, match="the server has no run nope; it has demo"):
        await audit_run(broker, "nope")
