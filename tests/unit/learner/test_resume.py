"""The fold of the trainer's log, and where a trainer goes on."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.interface import Record
from broker.logbook import decode_policy
from learner.trainer.history import History
from learner.trainer.resume import Start, choose, next_incarnation
from schemas.names import policy_subject, trainer_subject
from schemas.policy import PolicyId
from schemas.trainer_events import (
    PoliciesRestored,
    StepSkipped,
    TrainerEntry,
    TrainerStarted,
)
from schemas.wire import encode
from tests.support.histories import ONE_RANK, TWO_RANKS, announcement, history, started


def policies(*pairs: tuple[int, int]) -> list[PolicyId]:
    return [PolicyId(*pair) for pair in pairs]


def record(sequence: int, subject: str, data: bytes) -> Record:
    return Record(stream="POLICIES_r", subject=subject, sequence=sequence, time=0.0, data=data)


def test_the_first_start_begins_the_first_incarnation() -> None:
    assert choose(History(), ONE_RANK, []) == Start(
        loaded=PolicyId(1, 0), from_checkpoint=False, incarnation=1, begins=True
    )


def test_equal_numerics_go_on_in_the_same_incarnation() -> None:
    start = choose(history((1, 0, 7, ONE_RANK)), ONE_RANK, policies((1, 3), (1, 6)))
    assert start == Start(loaded=PolicyId(1, 6), from_checkpoint=True, incarnation=1, begins=False)


def test_a_checkpoint_above_the_last_announcement_is_left_alone() -> None:
    start = choose(history((1, 0, 5, ONE_RANK)), ONE_RANK, policies((1, 3), (1, 6)))
    assert start.loaded == PolicyId(1, 3)


def test_lost_checkpoints_mean_from_the_initial_policy() -> None:
    start = choose(history((1, 0, 5, ONE_RANK)), ONE_RANK, [])
    assert (start.loaded, start.from_checkpoint, start.begins) == (PolicyId(1, 0), False, False)


def test_other_numerics_begin_the_next_incarnation_at_the_newest_checkpoint() -> None:
    start = choose(history((1, 0, 7, ONE_RANK)), TWO_RANKS, policies((1, 3), (1, 6)))
    assert start == Start(loaded=PolicyId(1, 6), from_checkpoint=True, incarnation=2, begins=True)


def test_a_restored_run_goes_on_in_the_next_incarnation_and_then_stays_in_it() -> None:
    made = history((1, 0, 7, ONE_RANK))
    restored = PoliciesRestored(instance="restore-1", backup_sha256="b" * 64)
    made.apply(TrainerEntry(event=restored))
    start = choose(made, ONE_RANK, policies((1, 3), (1, 6), (1, 9)))
    assert start == Start(loaded=PolicyId(1, 6), from_checkpoint=True, incarnation=2, begins=True)
    fresh = choose(made, ONE_RANK, [])
    assert fresh == Start(loaded=PolicyId(1, 0), from_checkpoint=False, incarnation=2, begins=True)
    made.apply(TrainerEntry(event=started(2, 6, ONE_RANK)))
    again = choose(made, ONE_RANK, policies((1, 6), (2, 6)))
    assert (again.loaded, again.incarnation, again.begins) == (PolicyId(2, 6), 2, False)


def test_a_kill_between_the_incarnation_and_its_first_announcement() -> None:
    made = history((1, 0, 7, ONE_RANK))
    made.apply(TrainerEntry(event=started(2, 6, TWO_RANKS)))
    start = choose(made, TWO_RANKS, policies((1, 6), (2, 6)))
    assert start == Start(loaded=PolicyId(2, 6), from_checkpoint=True, incarnation=2, begins=False)


def test_a_checkpoint_of_an_incarnation_that_never_began_is_not_used() -> None:
    start = choose(history((1, 0, 7, ONE_RANK)), ONE_RANK, policies((1, 6), (2, 6)))
    assert start.loaded == PolicyId(1, 6)


def test_versions_that_a_later_incarnation_made_again_are_its_own() -> None:
    made = history((1, 0, 20, ONE_RANK), (2, 10, 14, TWO_RANKS))
    assert [made.owner(version) for version in (9, 10, 14, 20)] == [1, 2, 2, 2]
    start = choose(made, TWO_RANKS, policies((1, 10), (1, 20)))
    assert (start.loaded, start.begins) == (PolicyId(1, 0), True)
    start = choose(made, ONE_RANK, policies((1, 8), (2, 12)))
    assert (start.loaded, start.incarnation) == (PolicyId(2, 12), 3)


def test_a_difference_loads_the_same_state_in_the_next_incarnation() -> None:
    start = choose(history((1, 0, 7, ONE_RANK)), ONE_RANK, policies((1, 6)))
    assert next_incarnation(start) == Start(
        loaded=PolicyId(1, 6), from_checkpoint=True, incarnation=2, begins=True
    )


def test_records_fold_to_the_same_history_once_and_twice() -> None:
    messages = [
        (trainer_subject("r"), TrainerEntry(event=TrainerStarted(instance="t", host="h", pid=1))),
        (trainer_subject("r"), TrainerEntry(event=started(1, 0))),
        (policy_subject("r"), announcement(1, 0)),
        (
            trainer_subject("r"),
            TrainerEntry(
                event=StepSkipped(instance="t", incarnation=1, step=1, detail="not finite")
            ),
        ),
        (policy_subject("r"), announcement(1, 1)),
    ]
    once, twice = History(), History()
    for sequence, (subject, message) in enumerate(messages, start=1):
        content = decode_policy("r", record(sequence, subject, encode(message)))
        once.apply(content)
        twice.apply(content)
        twice.apply(content)
    assert once == twice
    assert once.last_version(1) == 1
    assert once.skipped == {PolicyId(1, 1)}


@st.composite
def runs(draw: st.DrawFn) -> History:
    """Incarnations that each go on from a version that the one before has."""
    segments, first = [], 0
    for incarnation in range(1, draw(st.integers(1, 4)) + 1):
        last = first + draw(st.integers(0, 6))
        segments.append((incarnation, first, last, draw(st.sampled_from([ONE_RANK, TWO_RANKS]))))
        first = draw(st.integers(0, last))
    return history(*segments)


@given(runs(), st.data())
def test_every_start_goes_on_from_what_the_log_says_is_the_state(
    made: History, data: st.DataObject
) -> None:
    checkpoints = data.draw(
        st.sets(st.builds(PolicyId, st.integers(1, 5), st.integers(0, 12)), max_size=8)
    )
    numerics = data.draw(st.sampled_from([ONE_RANK, TWO_RANKS]))
    start = choose(made, numerics, checkpoints)
    current = made.current
    assert current is not None
    assert start.loaded in checkpoints or not start.from_checkpoint
    assert start.loaded.incarnation == made.owner(start.version)
    assert start.version <= made.last_version(start.loaded.incarnation)
    assert start.incarnation == current.incarnation + start.begins
    if not start.begins:
        assert current.numerics == numerics
        assert start.loaded.incarnation == current.incarnation


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_losing_checkpoints_never_moves_the_start_forward(lost: int) -> None:
    made = history((1, 0, 9, ONE_RANK))
    kept = policies((1, 3), (1, 6), (1, 9))
    starts = [choose(made, ONE_RANK, kept[: len(kept) - count]).version for count in range(4)]
    assert all(later <= earlier for earlier, later in pairwise(starts))
    assert starts[lost] == kept[len(kept) - 1 - lost].version
