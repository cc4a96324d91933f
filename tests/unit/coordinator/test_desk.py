"""Who gets work: capacity, fairness, caps and pauses."""

import msgspec
import pytest

from learner.coordinator import capacity
from learner.coordinator.desk import HandOut, hand_out
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


@pytest.mark.parametrize("version", [0, 1, 5])
def test_a_lease_asks_for_a_policy_that_can_be_had_and_will_not_be_stale(version):
    """If groups arrive in the order of their leases, none is too old for the batch it lands in."""
    folded = Folded(SETTINGS)
    actors = [f"ACTOR{i}" for i in range(20)]
    folded.knows(*actors)
    result = ask(folded, *((actor, 5) for actor in actors), version=version)
    leases = sorted(
        (lease for leases in result.leases for lease in leases), key=lambda lease: lease.lease_id
    )
    assert len(leases) == (version + 2 + 1) * 4
    for place, lease in enumerate(leases):
        step = place // 4 + 1
        assert lease.least_policy <= PolicyId(1, version)
        assert not capacity.is_stale(lease.least_policy.version, step, max_staleness=2)
