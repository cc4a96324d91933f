"""A run trained again from its logs and the bucket alone."""

import msgspec
import pytest

from broker.memory import MemoryBroker
from learner.replaying import INITIAL, ReplayReport
from learner.trainer.model import WEIGHTS_FILE
from learner.trainer.portal import Portal
from learner.trainer.replay_legs import Compared, ReplayLeg, replay_legs, replay_legs_from
from learner.trainer.rerun import Rerun
from learner.trainer.world import World
from schemas import names
from schemas.errors import UserError
from schemas.policy import PolicyId
from schemas.trainer_events import TrainerEntry
from tests.support.histories import ONE_RANK, TWO_RANKS, history, started
from tests.support.trainers import TinyRun

NUM_STEPS = 4


@pytest.fixture
def run(tmp_path):
    with Portal() as portal:
        run = TinyRun(portal, tmp_path, num_steps=NUM_STEPS)
        run.cut_all()
        run.train()
        yield run


@pytest.fixture
def continued(tmp_path):
    """A run that was stopped, and went on with other threads."""
    with Portal() as portal:
        run = TinyRun(portal, tmp_path, num_steps=NUM_STEPS)
        portal.call(run.log.open(run.opened))
        for _ in range(2):
            portal.call(run.log.cut())
        run.train(until=2)
        for _ in range(2):
            portal.call(run.log.cut())
        run.train(num_threads=2)
        yield run


def compare(run: TinyRun, leg: ReplayLeg, folder) -> list[Compared]:
    rerun = Rerun(run.portal, World(0, 1), MemoryBroker(run.server), run.store, "tiny", folder)
    return list(rerun.compare(leg))


def replay(run: TinyRun, folder) -> list[Compared]:
    """Every leg, in this process."""
    return [
        compared for leg in replay_legs(run.history()) for compared in compare(run, leg, folder)
    ]


def test_every_version_is_equal(run, tmp_path) -> None:
    compared = replay(run, tmp_path / "states")
    assert [each.policy for each in compared] == sorted(run.history().announced)
    assert not any(each.differing for each in compared)


def test_the_first_version_that_differs_is_named_and_ends_it(run, tmp_path) -> None:
    name = run.republish_with_another_tensor(PolicyId(1, 2))
    compared = replay(run, tmp_path / "states")
    assert compared[-1] == Compared(policy=PolicyId(1, 2), differing=(name,))
    assert [each.policy.version for each in compared] == [0, 1, 2]


def test_what_the_bucket_lost_is_named_and_the_rest_is_compared(run, tmp_path) -> None:
    flipped, deleted = (run.files(PolicyId(1, version))[WEIGHTS_FILE] for version in (1, 3))
    data = bytearray(run.portal.call(run.store.get(flipped)))
    data[-5] ^= 1
    run.portal.call(run.store.put(flipped, bytes(data)))
    run.portal.call(run.store.delete(deleted))
    run.portal.call(run.store.delete(names.path_manifest_key("tiny", PolicyId(1, 4))))
    compared = replay(run, tmp_path / "states")
    assert [each.damaged for each in compared] == [
        (),
        ("model.safetensors has other bytes",),
        (),
        ("model.safetensors is missing",),
        (f"there is no object {names.path_manifest_key('tiny', PolicyId(1, 4))}",),
    ]
    assert not any(each.differing for each in compared)


def test_a_manifest_that_was_not_announced_is_damage(run, tmp_path) -> None:
    run.republish_with_other_weights(PolicyId(1, 1))
    compared = replay(run, tmp_path / "states")
    assert compared[1].damaged == ("its manifest is not the one that was announced",)
    assert [each.policy.version for each in compared if each.damaged] == [1]


def test_a_file_that_the_log_does_not_compute_differs(run, tmp_path) -> None:
    run.republish_with_another_file(PolicyId(1, 2), "config.json")
    compared = replay(run, tmp_path / "states")
    assert compared[-1] == Compared(policy=PolicyId(1, 2), differing=("config.json",))


def report(**changes) -> ReplayReport:
    given = {
        "run": "h",
        "begun_from": INITIAL,
        "num_equal": 13,
        "num_announced": 13,
        "first_difference": None,
        "damaged": (),
    }
    return ReplayReport(**given | changes)


def test_the_last_sentence_says_what_was_compared() -> None:
    assert report().holds
    assert report().sentence == (
        "13 of 13 versions of run h are equal to the published ones, bit for bit"
    )
    lost = report(num_equal=8, damaged=tuple(f"version 1-{n}: a is missing" for n in range(5)))
    assert not lost.holds
    assert lost.sentence == (
        "8 of 13 versions of run h are equal to the published ones, bit for bit; the bucket lacks "
        "what was published: version 1-0: a is missing; version 1-1: a is missing; "
        "version 1-2: a is missing; version 1-3: a is missing; and 1 more"
    )
    other = report(
        num_equal=1, first_difference=Compared(policy=PolicyId(1, 1), differing=("x", "y"))
    )
    assert other.sentence == (
        "version 1-1 of run h is not what the log computes: 2 of its tensors or files differ, "
        "among them x, y"
    )


@pytest.mark.parametrize("field", ["cpu", "cpu_model", "mkl"])
def test_a_machine_that_computes_otherwise_refuses(run, tmp_path, field) -> None:
    leg = replay_legs(run.history())[0]
    foreign = msgspec.structs.replace(leg.numerics, **{field: "another"})
    with pytest.raises(UserError, match="instead of another"):
        compare(run, msgspec.structs.replace(leg, numerics=foreign), tmp_path)


def test_an_incarnation_goes_on_from_the_state_of_the_one_before(continued, tmp_path) -> None:
    compared = replay(continued, tmp_path / "states")
    assert {each.policy.incarnation for each in compared} == {1, 2}
    assert [each.policy for each in compared] == sorted(continued.history().announced)
    assert not any(each.differing for each in compared)


def test_legs_hand_on_the_states_that_later_ones_begin_with() -> None:
    made = history((1, 0, 20, ONE_RANK), (2, 10, 14, TWO_RANKS), (3, 12, 15, ONE_RANK))
    assert [(leg.first, leg.last, leg.start, leg.kept) for leg in replay_legs(made)] == [
        (0, 20, None, (10,)),
        (10, 14, PolicyId(1, 10), (12,)),
        (12, 15, PolicyId(2, 12), ()),
    ]


def test_an_incarnation_that_announced_nothing_is_no_leg() -> None:
    made = history((1, 0, 9, ONE_RANK))
    made.apply(TrainerEntry(event=started(2, 6, TWO_RANKS)))
    made.apply(TrainerEntry(event=started(3, 6, ONE_RANK)))
    assert [(leg.incarnation, leg.kept) for leg in replay_legs(made)] == [(1, (6,))]


def test_a_checkpoint_shortens_the_way() -> None:
    made = history((1, 0, 20, ONE_RANK), (2, 10, 14, TWO_RANKS), (3, 12, 15, ONE_RANK))
    legs = replay_legs_from(made, PolicyId(2, 11))
    assert [(leg.incarnation, leg.first, leg.start) for leg in legs] == [
        (2, 11, PolicyId(2, 11)),
        (3, 12, PolicyId(2, 12)),
    ]
