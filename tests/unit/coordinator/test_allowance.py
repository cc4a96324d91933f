"""How many leases an actor may hold, and what is left for who comes later."""

import pytest

from learner.coordinator.allowance import allowance
from learner.coordinator.desk import hand_out
from schemas import ledger
from schemas.lease import WaitReason
from schemas.policy import PolicyId
from schemas.settings import BatchSettings, LeaseSettings, RunSettings
from tests.support.coordinators import make_request
from tests.support.states import Folded

SETTINGS = RunSettings(
    name="test",
    leases=LeaseSettings(max_staleness=2, max_open_per_actor=6),
    batch=BatchSettings(num_groups=6),
)
UNDER_WAY = 3 * 6


def comes(folded: Folded, actor: str) -> tuple[int, WaitReason]:
    """Let an actor take all that it gets: how much, and why no more."""
    request = make_request(actor, "r1", wanted=64)
    result = hand_out(folded.state, [request], announced=PolicyId(1, 0), now=1000.0, stop_ids=(1,))
    folded.add(*result.events)
    return len(result.events), result.reasons[0]


def test_who_comes_first_leaves_some_for_the_others_before_the_first_step():
    folded = Folded(SETTINGS)
    got = [comes(folded, actor) for actor in ("ALICE", "BOB", "CAROL", "DAVE")]
    assert got == [(UNDER_WAY // 8, WaitReason.ACTOR_LIMIT)] * 4


@pytest.mark.parametrize("accepted", [True, False])
def test_an_answer_right_or_wrong_is_one_lease_more_up_to_the_limit(accepted):
    folded = Folded(SETTINGS)
    found = []
    for _ in range(6):
        found.append(allowance(folded.state, SETTINGS, "ALICE"))
        folded.accept("ALICE") if accepted else folded.refuse("ALICE")
    assert found == [2, 3, 4, 5, 6, 6]


def test_a_lease_without_an_answer_is_none():
    folded = Folded(SETTINGS)
    for ending in (ledger.LeaseExpired, ledger.LeaseAbandoned):
        folded.add(ending(lease_id=folded.issue("ALICE").lease_id))
    assert allowance(folded.state, SETTINGS, "ALICE") == 2


def test_where_little_may_be_under_way_everybody_may_hold_one():
    small = RunSettings(
        name="test", leases=LeaseSettings(max_staleness=0), batch=BatchSettings(num_groups=1)
    )
    assert allowance(Folded(small).state, small, "ALICE") == 1
