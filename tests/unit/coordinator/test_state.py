"""The fold: once is as good as twice, and a prefix is a state of its own."""

import pytest

from learner.coordinator import state as states
from learner.coordinator.ended import EndedLease, LeaseEnd
from learner.coordinator.state import RunState
from schemas import ledger
from schemas.settings import RunSettings
from schemas.verdict import Outcome, Reason
from tests.support.states import Folded


def refused(lease_id: int | None, *, closes: bool, sequence: int = 50) -> ledger.GroupRefused:
    return ledger.GroupRefused(
        stream="ROLLOUTS_test_s0",
        sequence=sequence,
        sha256="0" * 64,
        actor="ALICE",
        lease_id=lease_id,
        closes_lease=closes,
        outcome=Outcome.REJECTED,
        reason=Reason.REWARD_MISMATCH,
        sample_kept=True,
    )


def full() -> Folded:
    folded = Folded(RunSettings(name="test"))
    for actor in ("ALICE", "BOB"):
        folded.accept(actor)
        folded.accept(actor, rewards=(0.0, 0.0))
    for number in range(3):
        folded.issue("CAROL", request_id=f"r{number}")
    folded.add(ledger.LeaseExpired(lease_id=4), ledger.LeaseAbandoned(lease_id=5))
    folded.add(refused(6, closes=True))
    folded.add(ledger.GroupsDropped(step=1, lease_ids=(0,)))
    return folded


def test_every_event_folded_twice_is_folded_once():
    folded = full()
    twice = RunState()
    for event in folded.events:
        entry = ledger.LedgerEntry(instance="c1", events=(event, event))
        twice.apply_entry(entry)
        twice.apply_entry(entry)
    assert twice == folded.state


def test_how_leases_end():
    ended = full().state.ended_leases
    assert {lease_id: ended[lease_id] for lease_id in ended} == {
        0: EndedLease(LeaseEnd.FULFILLED, "ALICE"),
        1: EndedLease(LeaseEnd.FULFILLED, "ALICE"),
        2: EndedLease(LeaseEnd.FULFILLED, "BOB"),
        3: EndedLease(LeaseEnd.FULFILLED, "BOB"),
        4: EndedLease(LeaseEnd.EXPIRED, "CAROL"),
        5: EndedLease(LeaseEnd.ABANDONED, "CAROL"),
        6: EndedLease(LeaseEnd.REFUSED, "CAROL"),
    }


def test_a_refusal_that_does_not_close_leaves_the_lease_open():
    folded = Folded(RunSettings(name="test"))
    lease = folded.issue("ALICE")
    folded.add(refused(lease.lease_id, closes=False))
    assert lease.lease_id in folded.state.open_leases
    assert folded.state.num_judged == {"reward-mismatch": 1}
    assert folded.state.num_samples == {("ALICE", "reward-mismatch"): 1}


def test_a_request_in_two_entries_keeps_all_its_leases():
    folded = Folded(RunSettings(name="test"))
    folded.issue("ALICE", request_id="r1")
    folded.issue("ALICE", request_id="r1")
    assert folded.state.last_requests["ALICE"].lease_ids == (0, 1)
    folded.issue("ALICE", request_id="r2")
    assert folded.state.last_requests["ALICE"].lease_ids == (2,)


def test_a_request_id_used_for_ever_keeps_no_more_than_its_open_leases():
    folded = Folded(RunSettings(name="test"))
    for _ in range(100):
        lease = folded.issue("ALICE", request_id="r1")
        folded.add(ledger.LeaseAbandoned(lease_id=lease.lease_id))
    assert folded.state.last_requests["ALICE"].lease_ids == (99,)


def test_remembered_verdicts_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(states, "REMEMBERED_VERDICTS", 3)
    folded = Folded(RunSettings(name="test"))
    for sequence in range(5):
        folded.add(refused(None, closes=False, sequence=sequence))
    assert [sequence for _, sequence in folded.state.verdicts] == [2, 3, 4]
