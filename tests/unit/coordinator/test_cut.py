"""What goes into a batch, in which order, and what is too old for it."""

import msgspec
import pytest

from learner.coordinator import cut
from schemas import ledger
from schemas.settings import BatchSettings, LeaseSettings, RunSettings, TrainerSettings
from schemas.wire import encode, sha256_hex
from tests.support.states import Folded

SETTINGS = RunSettings(
    name="test",
    leases=LeaseSettings(max_staleness=2),
    batch=BatchSettings(num_groups=4, actor_share=0.5),
    trainer=TrainerSettings(num_steps=100),
)


def cut_and_fold(folded: Folded) -> cut.Cut:
    result = cut.cut(folded.state, "c1")
    if result.stale:
        step = folded.state.next_step
        folded.add(ledger.GroupsDropped(step=step, lease_ids=result.stale))
    if result.batch:
        digest = sha256_hex(encode(result.batch))
        folded.state.apply_batch(result.batch, digest)
    return result


def actors(result: cut.Cut) -> list[str]:
    assert result.batch is not None
    return [row.actor for row in result.batch.rows]


def test_too_few_groups_make_no_batch():
    folded = Folded(SETTINGS)
    for _ in range(3):
        folded.accept("ALICE")
    assert cut_and_fold(folded) == cut.Cut()


def test_groups_without_signal_do_not_count():
    folded = Folded(SETTINGS)
    for _ in range(3):
        folded.accept("ALICE")
    folded.accept("BOB", rewards=(1.0, 1.0))
    assert cut_and_fold(folded).batch is None


def test_rows_carry_advantages_and_the_chain_goes_on():
    folded = Folded(SETTINGS)
    for _ in range(8):
        folded.accept("ALICE", rewards=(1.0, 0.0))
    first, second = cut_and_fold(folded).batch, cut_and_fold(folded).batch
    assert first is not None
    assert second is not None
    assert first.rows[0].advantages == (0.5, -0.5)
    assert (first.step, first.previous_sha256) == (1, None)
    assert (second.step, second.previous_sha256) == (2, sha256_hex(encode(first)))
    assert not folded.state.waiting


def test_no_actor_has_more_than_its_share_while_others_can_fill():
    folded = Folded(SETTINGS)
    for actor in ("ALICE", "ALICE", "ALICE", "ALICE", "BOB", "CAROL"):
        folded.accept(actor)
    assert sorted(actors(cut_and_fold(folded))) == ["ALICE", "ALICE", "BOB", "CAROL"]


def test_an_actor_fills_the_batch_when_nobody_else_can():
    folded = Folded(SETTINGS)
    for actor in ("ALICE", "ALICE", "ALICE", "BOB"):
        folded.accept(actor)
    assert sorted(actors(cut_and_fold(folded))) == ["ALICE", "ALICE", "ALICE", "BOB"]


def test_a_hard_cap_binds_even_then():
    capped = msgspec.structs.replace(
        SETTINGS, batch=BatchSettings(num_groups=4, actor_share=0.5, actor_cap=0.5)
    )
    folded = Folded(capped)
    for actor in ("ALICE", "ALICE", "ALICE", "BOB"):
        folded.accept(actor)
    assert cut_and_fold(folded).batch is None
    folded.accept("CAROL")
    assert sorted(actors(cut_and_fold(folded))) == ["ALICE", "ALICE", "BOB", "CAROL"]


def test_the_oldest_policies_go_first():
    folded = Folded(SETTINGS)
    young = [folded.accept(actor, version=1) for actor in ("ALICE", "BOB", "CAROL")]
    old = [folded.accept(actor, version=0) for actor in ("DAVE", "ERIN")]
    batch = cut_and_fold(folded).batch
    assert batch is not None
    assert [row.lease_id for row in batch.rows] == old + young[:2]


def test_what_is_too_old_is_dropped_by_name():
    folded = Folded(SETTINGS)
    for _ in range(3):
        for actor in ("ALICE", "BOB", "CAROL", "DAVE"):
            folded.accept(actor, version=0)
        assert cut_and_fold(folded).batch is not None
    late = folded.accept("ALICE", version=0)
    fresh = folded.accept("BOB", version=1)
    assert cut_and_fold(folded).stale == (late,)
    assert list(folded.state.waiting) == [fresh]


@pytest.mark.parametrize(
    ("steps_cut", "version", "may"),
    [(0, None, False), (0, 0, True), (1, 0, True), (2, 0, False), (2, 1, True), (100, 99, False)],
)
def test_a_batch_waits_for_the_version_two_before_it(steps_cut, version, may):
    folded = Folded(SETTINGS)
    folded.state.last_step = steps_cut
    assert cut.may_cut(folded.state, version) is may
