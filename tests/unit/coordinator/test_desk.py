"""Who gets work: capacity, fairness, caps and pauses."""

import random
import time

import msgspec
import pytest

from learner.coordinator import capacity
from learner.coordinator.allowance import allowance
from learner.coordinator.desk import HandOut, hand_out
from learner.coordinator.state import LastRequest
from schemas.batch import staleness
from schemas.lease import WaitReason
from schemas.policy import PolicyId
from schemas.settings import BatchSettings, LeaseSettings, RunSettings, TrainerSettings
from tests.support.coordinators import make_request
from tests.support.states import Folded

SETTINGS = RunSettings(
    name="test",
    leases=LeaseSettings(max_staleness=2, max_open_per_actor=5),
    batch=BatchSettings(num_groups=4, no_signal_limit=3),
    trainer=TrainerSettings(num_steps=100),
)

NOW = 1000.0


def ask(folded: Folded, *wanted: tuple[str, int], version: int | None = 0) -> HandOut:
    return hand_out(
        folded.state,
        [make_request(actor, f"new-{actor}", wanted=count) for actor, count in wanted],
        announced=None if version is None else PolicyId(1, version),
        now=NOW,
        stop_ids=(1,),
    )


def counts(result: HandOut) -> list[int]:
    return [len(leases) for leases in result.leases]


def test_capacity_is_the_formula():
    folded = Folded(SETTINGS)
    assert capacity.capacity(folded.state, SETTINGS, version=0) == (0 + 2 + 1) * 4
    folded.accept("ALICE")
    folded.accept("ALICE", rewards=(1.0, 1.0))  # Without signal: takes no place in any batch.
    folded.issue("BOB")
    assert capacity.capacity(folded.state, SETTINGS, version=0) == 12 - 1 - 1
    assert capacity.capacity(folded.state, SETTINGS, version=3) == 24 - 1 - 1


def test_capacity_ends_with_the_run():
    short = msgspec.structs.replace(SETTINGS, trainer=TrainerSettings(num_steps=1))
    assert capacity.capacity(Folded(short).state, short, version=0) == 4


def test_nobody_gets_more_than_there_is():
    folded = Folded(SETTINGS)
    folded.knows("ALICE", "BOB", "CAROL")
    result = ask(folded, ("ALICE", 64), ("BOB", 64), ("CAROL", 64))
    assert counts(result) == [4, 4, 4]
    assert set(result.reasons) == {WaitReason.CAPACITY}


def test_the_actor_with_fewest_open_leases_is_served_first():
    folded = Folded(SETTINGS)
    folded.knows("ALICE", "BOB")
    for _ in range(4):
        folded.issue("ALICE")
    assert counts(ask(folded, ("ALICE", 64), ("BOB", 64))) == [1, 5]


def test_open_leases_per_actor_are_capped():
    folded = Folded(SETTINGS)
    folded.knows("ALICE")
    result = ask(folded, ("ALICE", 64))
    assert counts(result) == [5]
    assert result.reasons == [WaitReason.ACTOR_LIMIT]


def test_a_hard_cap_binds_the_gate():
    capped = msgspec.structs.replace(SETTINGS, batch=BatchSettings(num_groups=4, actor_cap=0.25))
    folded = Folded(capped)
    folded.knows("ALICE")
    result = ask(folded, ("ALICE", 64))
    assert counts(result) == [1 * (2 + 1)]
    assert result.reasons == [WaitReason.TOO_FEW_ACTORS]


@pytest.mark.parametrize(
    ("version", "reason"), [(None, WaitReason.NO_POLICY), (0, WaitReason.NONE)]
)
def test_no_lease_before_a_policy(version, reason):
    result = ask(Folded(SETTINGS), ("ALICE", 1), version=version)
    assert result.reasons == [reason]
    assert bool(result.leases[0]) is (reason is WaitReason.NONE)


def test_lease_numbers_go_on_and_decide_task_and_seed():
    folded = Folded(SETTINGS)
    folded.issue("ALICE")
    folded.knows("BOB")
    one = ask(folded, ("BOB", 2)).leases[0]
    same = ask(folded, ("BOB", 2)).leases[0]
    assert [lease.lease_id for lease in one] == [1, 2]
    assert one == same
    assert one[0].task != one[1].task
    assert one[0].seed != one[1].seed
    assert one[0].deadline == NOW + SETTINGS.leases.lifetime_s


@pytest.mark.parametrize(
    ("version", "asked_for"), [(0, [0, 0, 0]), (1, [0, 0, 1, 1]), (5, [0, 0, 1, 2, 3, 4, 5, 5])]
)
def test_a_lease_asks_for_a_policy_that_can_be_had_and_will_not_be_stale(version, asked_for):
    """Step s takes version s - 3; one version more is asked for where there is one."""
    folded = Folded(SETTINGS)
    actors = [f"ACTOR{i}" for i in range(20)]
    folded.knows(*actors)
    result = ask(folded, *((actor, 5) for actor in actors), version=version)
    leases = sorted(
        (lease for leases in result.leases for lease in leases), key=lambda lease: lease.lease_id
    )
    of_each_step = [least for least in asked_for for _ in range(SETTINGS.batch.num_groups)]
    assert [lease.least_policy.version for lease in leases] == of_each_step
    oldest = [staleness(step, least) for step, least in enumerate(asked_for, start=1)]
    assert max(oldest) <= SETTINGS.leases.max_staleness


def slow_turns(folded: Folded, wanted: dict[str, int]) -> tuple[list[str], dict[str, WaitReason]]:
    """Who gets each lease, and why not more, by looking at everybody each time."""
    state = folded.state
    left = capacity.capacity(state, SETTINGS, version=0)
    holders = [issued.lease.actor for issued in state.open_leases.values()]
    turns: list[str] = []
    reasons = dict.fromkeys(wanted, WaitReason.NONE)
    hungry = list(wanted)
    while hungry:
        actor = min(hungry, key=(holders + turns).count)  # The first of those with as few.
        if len(turns) >= left:
            reasons[actor] = WaitReason.CAPACITY
        elif (holders + turns).count(actor) >= allowance(state, SETTINGS, actor):
            reasons[actor] = WaitReason.ACTOR_LIMIT
        else:
            turns.append(actor)
        if reasons[actor] or turns.count(actor) == wanted[actor]:
            hungry.remove(actor)
    return turns, reasons


@pytest.mark.parametrize("seed", range(50))
def test_leases_go_in_turn_to_whoever_has_fewest(seed):
    draws = random.Random(seed)
    folded = Folded(SETTINGS)
    actors = [f"ACTOR{i}" for i in range(draws.randint(1, 8))]
    for actor in actors:
        folded.state.answered[actor] = draws.randint(0, 4)
        for _ in range(draws.choice([0, 0, 1, 3])):
            folded.issue(actor)
    wanted = {actor: draws.randint(1, 5) for actor in actors}
    result = ask(folded, *wanted.items())
    turns, reasons = slow_turns(folded, wanted)
    assert [event.lease.actor for event in result.events] == turns
    assert dict(zip(wanted, result.reasons, strict=True)) == reasons


def use_up(folded: Folded, num_asking: int) -> None:
    for _ in range(12):
        folded.issue("ZOE")


def pause(folded: Folded, num_asking: int) -> None:
    """All who ask have had a lease just now, and none of their groups had signal."""
    deadline = NOW + SETTINGS.leases.lifetime_s
    for index in range(num_asking):
        folded.state.without_signal[f"ACTOR{index}"] = 3
        folded.state.last_requests[f"ACTOR{index}"] = LastRequest("r1", (), deadline)


@pytest.mark.parametrize(
    ("prepare", "reason"), [(use_up, WaitReason.CAPACITY), (pause, WaitReason.NO_SIGNAL)]
)
def test_four_times_as_many_requests_are_about_four_times_the_work(prepare, reason):
    """While this runs, the coordinator does nothing else."""

    def cpu_s(num_asking: int) -> float:
        folded = Folded(SETTINGS)
        prepare(folded, num_asking)
        requests = [make_request(f"ACTOR{i}", "r2", wanted=4) for i in range(num_asking)]
        began = time.process_time()
        result = hand_out(folded.state, requests, announced=PolicyId(1, 0), now=NOW, stop_ids=(1,))
        took = time.process_time() - began
        assert set(result.reasons) == {reason}
        return took

    few, many = (min(cpu_s(num_asking) for _ in range(5)) for num_asking in (2000, 8000))
    assert many < 9 * few  # 16 times, if each looked at all the others.
