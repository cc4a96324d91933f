"""One word for all that is true of an actor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.state import Facts, Said, said_by, state_of
from schemas.heartbeat import State
from schemas.lease import LeaseReply, WaitReason
from schemas.policy import PolicyId

HELD, NEXT = PolicyId(1, 3), PolicyId(1, 4)
AT_WORK = (
    State.STOPPED,
    State.DRAINING,
    State.QUEUE_FULL,
    State.GENERATING,
    State.LOADING,
    State.PUBLISHING,
)
FULL = LeaseReply(waiting_for=WaitReason.CAPACITY)
FINISHED = LeaseReply(waiting_for=WaitReason.FINISHED)
STORE_AWAY = Said(State.STORE_AWAY, "policy 1-4 cannot be had: 503")
ANY_FACTS = st.builds(
    Facts,
    connected=st.booleans(),
    under_way=st.frozensets(st.sampled_from(AT_WORK)),
    misfit=st.sampled_from(["", "another environment"]),
    served=st.sampled_from([None, HELD]),
    fetching=st.sampled_from([None, NEXT]),
    obstacle=st.sampled_from([None, STORE_AWAY]),
    awaited=st.sampled_from([(), (HELD,), (NEXT,)]),
    away=st.sampled_from(["", "a coordinator"]),
    reply=st.sampled_from([None, *(LeaseReply(waiting_for=reason) for reason in WaitReason)]),
)


def said(**facts) -> tuple[State, str]:
    found = state_of(Facts(**facts))
    return found.state, found.waiting_for


@given(ANY_FACTS)
def test_an_actor_is_starting_only_before_the_first_answer(facts):
    found = state_of(facts)
    if found.state is State.STARTING:
        assert facts.reply is None
        assert facts.connected
        assert not facts.under_way


@given(ANY_FACTS, st.sampled_from(AT_WORK))
def test_work_that_goes_on_is_more_telling_than_any_wait(facts, work):
    working = Facts(
        **{name: getattr(facts, name) for name in Facts.__struct_fields__ if name != "under_way"},
        under_way=frozenset({work}),
    )
    assert state_of(working).state in (work, State.CONNECTING)


@given(ANY_FACTS)
def test_a_finished_run_stays_finished_whoever_leaves(facts):
    if facts.reply == FINISHED and facts.connected and not facts.under_way and not facts.misfit:
        assert state_of(facts) == Said(State.FINISHED, "nothing: the run is finished")


@given(ANY_FACTS)
def test_what_is_tried_again_keeps_its_state(facts):
    """The next attempt at a download that failed is no news, nor is the next question."""
    if facts.obstacle:
        retried = {name: getattr(facts, name) for name in Facts.__struct_fields__}
        assert state_of(facts) == state_of(Facts(**{**retried, "fetching": NEXT}))


def test_the_most_telling_work_first():
    everything = set(AT_WORK)
    for work in AT_WORK:
        assert said(under_way=frozenset(everything)) == (
            work,
            "room in the queue" if work is State.QUEUE_FULL else "",
        )
        everything.remove(work)


def test_a_broker_that_is_away_is_more_telling_than_work_but_not_than_the_end():
    away = {"connected": False}
    assert said(**away, under_way=frozenset({State.GENERATING})) == (State.CONNECTING, "the broker")
    assert said(**away, under_way=frozenset({State.DRAINING}))[0] is State.DRAINING


def test_a_machine_that_can_do_none_of_the_leases_says_so():
    state, waiting_for = said(misfit="it has another lookup", served=HELD, reply=FULL)
    assert state is State.CANNOT_CONTRIBUTE
    assert waiting_for == "work that it can do: it has another lookup"


def test_before_the_first_answer_it_is_starting_unless_nobody_answers():
    assert said() == (State.STARTING, "")
    assert said(away="a coordinator") == (State.COORDINATOR_AWAY, "a coordinator")


def test_a_run_that_was_finished_is_finished_without_its_coordinator_and_without_a_policy():
    assert said(reply=FINISHED, away="a coordinator")[0] is State.FINISHED
    assert said(reply=FINISHED, obstacle=STORE_AWAY, fetching=NEXT)[0] is State.FINISHED


def test_without_a_policy_it_waits_for_the_first_one():
    assert said(reply=FULL) == (State.WAITING_FOR_POLICY, "the run's first policy")
    assert said(reply=FULL, fetching=HELD) == (State.FETCHING, "policy 1-3")
    assert said(reply=FULL, served=HELD) == (
        State.WAITING_FOR_LEASE,
        "room in the run: enough groups are under way",
    )


@pytest.mark.parametrize(
    ("served", "least", "words"),
    [
        (None, PolicyId(1, 3), "policy 1-3 or newer"),
        (PolicyId(1, 2), PolicyId(1, 3), "version 3 or later: it has policy 1-2"),
        # The newer one of the two may be the one that it has.
        (PolicyId(2, 1), PolicyId(1, 3), "version 3 or later: it has policy 2-1"),
        (PolicyId(1, 9), PolicyId(2, 3), "incarnation 2 or later: it has policy 1-9"),
    ],
)
def test_says_what_the_held_policy_lacks(served, least, words):
    facts = {"reply": FULL, "served": served, "awaited": (least,)}
    assert said(**facts) == (State.WAITING_FOR_POLICY, words)


def test_a_policy_that_is_there_is_not_waited_for():
    assert said(reply=FULL, served=NEXT, awaited=(HELD, NEXT))[0] is State.WAITING_FOR_LEASE


def test_a_feed_is_frozen_only_when_the_held_policy_does_for_no_lease():
    assert said(reply=FULL, served=HELD, obstacle=STORE_AWAY) == (
        State.STORE_AWAY,
        "policy 1-4 cannot be had: 503",
    )
    assert said(reply=FULL, served=HELD, obstacle=STORE_AWAY, awaited=(NEXT,)) == (
        State.FEED_FROZEN,
        "policy 1-4 cannot be had: 503",
    )
    assert said(reply=FULL, obstacle=STORE_AWAY, awaited=(NEXT,))[0] is State.STORE_AWAY


@pytest.mark.parametrize("reason", WaitReason)
def test_every_answer_has_a_state_and_words(reason):
    found = said_by(LeaseReply(waiting_for=reason, detail="because"))
    assert found.waiting_for.endswith(" (because)")
    expected = {
        WaitReason.NO_POLICY: State.WAITING_FOR_POLICY,
        WaitReason.FINISHED: State.FINISHED,
    }
    assert found.state is expected.get(reason, State.WAITING_FOR_LEASE)
