"""A sound run, whole: it holds, and so does every beginning of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.audit import audit, audit_run
from broker.interface import StreamKind, StreamSpec
from schemas.errors import UserError
from schemas.ledger import GroupsDropped, LeaseAbandoned, LeaseExpired, LedgerEntry
from tests.support import hand_built
from tests.support.corrupted import changed, run_audit


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


def test_a_run_that_is_not_opened_yet_holds() -> None:
    report = run_audit([])
    assert report.holds
    assert report.max_staleness is None


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
    assert report.num_groups_hashed == 5


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
