"""Who gets only a lease now and then, and what that costs the others."""

import pytest

from learner.coordinator.desk import HandOut, hand_out
from schemas import ledger
from schemas.lease import WaitReason
from schemas.policy import PolicyId
from schemas.settings import BatchSettings, LeaseSettings, RunSettings, TrainerSettings
from tests.support.coordinators import make_request
from tests.support.states import Folded

SETTINGS = RunSettings(
    name="test",
    leases=LeaseSettings(max_staleness=2, max_open_per_actor=5),
    batch=BatchSettings(num_groups=8, no_signal_limit=6),
    trainer=TrainerSettings(num_steps=100),
)
NOW = 1000.0
LIFETIME_S = SETTINGS.leases.lifetime_s
NO_SIGNAL = (0.0, 0.0)


def ask(folded: Folded, *actors: str, now: float = NOW) -> HandOut:
    return hand_out(
        folded.state,
        [make_request(actor, f"new-{actor}", wanted=4) for actor in actors],
        announced=PolicyId(1, 0),
        now=now,
        stop_ids=(1,),
    )


def counts(result: HandOut) -> list[int]:
    return [len(leases) for leases in result.leases]


def accept(folded: Folded, actor: str, times: int, **changes) -> None:
    for _ in range(times):
        folded.accept(actor, deadline=NOW + LIFETIME_S, **changes)


def give_back(folded: Folded, actor: str, times: int) -> None:
    for _ in range(times):
        lease = folded.issue(actor, deadline=NOW + LIFETIME_S)
        folded.add(ledger.LeaseAbandoned(lease_id=lease.lease_id))


def test_a_run_without_signal_pauses_all_who_took_part_and_goes_on_with_the_next_signal():
    folded = Folded(SETTINGS)
    accept(folded, "ALICE", 3, rewards=NO_SIGNAL)
    accept(folded, "BOB", 2, rewards=NO_SIGNAL)
    assert counts(ask(folded, "ALICE", "BOB")) == [4, 4]
    accept(folded, "BOB", 1, rewards=NO_SIGNAL)
    paused = ask(folded, "ALICE", "BOB")
    assert counts(paused) == [0, 0]
    assert paused.reasons == [WaitReason.NO_SIGNAL] * 2
    folded.accept("BOB")
    assert counts(ask(folded, "ALICE", "BOB")) == [4, 4]


def test_a_paused_run_gives_each_actor_one_lease_now_and_then():
    folded = Folded(SETTINGS)
    accept(folded, "ALICE", 6, rewards=NO_SIGNAL)
    assert counts(ask(folded, "ALICE", now=NOW + 9.0)) == [0]
    assert counts(ask(folded, "ALICE", now=NOW + 10.0)) == [1]
    folded.issue("ALICE", deadline=NOW + 10.0 + LIFETIME_S)
    assert counts(ask(folded, "ALICE", now=NOW + 30.0)) == [0]


@pytest.mark.parametrize("wrong_by_s", [30 * 86400.0, -30 * 86400.0])
def test_a_clock_that_was_wrong_keeps_nobody_waiting(wrong_by_s):
    folded = Folded(SETTINGS)
    deadline = NOW + wrong_by_s + LIFETIME_S
    for _ in range(6):
        folded.accept("ALICE", rewards=NO_SIGNAL, deadline=deadline)
    assert counts(ask(folded, "ALICE", now=NOW)) == [1]


def test_an_actor_without_signal_cannot_stop_the_others():
    folded = Folded(SETTINGS)
    folded.knows("ALICE", "BOB")
    accept(folded, "BOB", 1, rewards=NO_SIGNAL)
    accept(folded, "MALLORY", 500, rewards=NO_SIGNAL)
    asked = ask(folded, "ALICE", "BOB", "MALLORY")
    assert counts(asked) == [4, 4, 0]
    assert asked.reasons[2] is WaitReason.NO_SIGNAL


@pytest.mark.parametrize(("given_back", "leases"), [(10, 4), (11, 0)])
def test_leases_may_be_given_back_up_to_a_bound(given_back, leases):
    folded = Folded(SETTINGS)
    folded.knows("ALICE", "MALLORY")
    give_back(folded, "MALLORY", given_back)
    asked = ask(folded, "MALLORY", "ALICE")
    assert counts(asked) == [leases, 4]
    assert leases or asked.reasons[0] is WaitReason.UNANSWERED


def test_an_answer_pays_for_a_lease_given_back():
    folded = Folded(SETTINGS)
    for _ in range(100):
        give_back(folded, "ALICE", 1)
        folded.accept("ALICE", rewards=NO_SIGNAL)
        folded.accept("BOB")
    assert folded.state.unanswered["ALICE"] <= 1


def test_an_actor_on_probation_answers_its_way_out():
    folded = Folded(SETTINGS)
    give_back(folded, "ALICE", 11)
    assert counts(ask(folded, "ALICE", now=NOW + 10.0)) == [1]
    accept(folded, "ALICE", 1)
    assert counts(ask(folded, "ALICE", now=NOW + 10.0)) == [4]


def test_garbage_pays_for_nothing_and_is_no_probation_by_itself():
    folded = Folded(SETTINGS)
    for _ in range(100):
        folded.refuse("MALLORY", deadline=NOW + LIFETIME_S)
    assert counts(ask(folded, "MALLORY")) == [4]
    give_back(folded, "MALLORY", 11)
    for _ in range(100):
        folded.refuse("MALLORY", deadline=NOW + LIFETIME_S)
    assert counts(ask(folded, "MALLORY")) == [0]
