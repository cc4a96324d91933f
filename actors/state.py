"""Which one word says what an actor does, and what it waits for: decided here, from facts alone.

Several things are true at once: a group is published while the next one is generated, and while a
download fails for the third time. A screen has room for one word, and it is the first in `_said` of
those that apply. What stays true keeps its word, so a retry is no change of state.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from schemas.heartbeat import State
from schemas.lease import LeaseReply, WaitReason
from schemas.policy import PolicyId


class Said(Struct, frozen=True):
    """A state, and what is waited for in it."""

    state: State
    waiting_for: str = ""
    """For a person; empty when it waits for nothing."""


class Facts(Struct, frozen=True, kw_only=True):
    """What is true of an actor at one moment."""

    connected: bool = True
    """The broker is there."""
    under_way: frozenset[State] = frozenset()
    """What it is at, of the states that stand in `_AT_WORK`."""
    misfit: str = ""
    """Why this machine can do none of the run's leases."""
    served: PolicyId | None = None
    fetching: PolicyId | None = None
    obstacle: Said | None = None
    """What keeps the newest policy from being served."""
    awaited: tuple[PolicyId, ...] = ()
    """The least policy of each group that cannot start yet."""
    away: str = ""
    """Why the last question to the coordinator has no answer; empty while it answers."""
    reply: LeaseReply | None = None
    """The coordinator's last answer."""


_AT_WORK: Final = (
    (State.STOPPED, ""),
    (State.DRAINING, ""),
    (State.CONNECTING, "the broker"),
    (State.QUEUE_FULL, "room in the queue"),
    (State.GENERATING, ""),
    (State.LOADING, ""),
    (State.PUBLISHING, ""),
)
"""The most telling first."""

_WAITS: Final = {
    WaitReason.NONE: "work",
    WaitReason.NO_POLICY: "the run's first policy",
    WaitReason.CAPACITY: "room in the run: enough groups are under way",
    WaitReason.ACTOR_LIMIT: "its own groups: it has as many leases as it may have",
    WaitReason.TOO_FEW_ACTORS: "more actors: it has its share of the next batches",
    WaitReason.NO_SIGNAL: "the run, which pauses: groups have had equal rewards for too long",
    WaitReason.UNANSWERED: "its next lease: it gave back or let expire too many of them",
    WaitReason.DISPLACED: "its newest request: one waits at a time",
    WaitReason.CUT_OFF: "being let in again: this actor is cut off",
    WaitReason.FINISHED: "nothing: the run is finished",
    WaitReason.REFUSED: "the coordinator, which refuses this actor's requests",
}


def state_of(facts: Facts) -> Said:
    """The foremost of all that applies."""
    return next(_said(facts))


def said_by(reply: LeaseReply) -> Said:
    """What the coordinator's answer means for an actor that has no lease."""
    words = _WAITS[reply.waiting_for]
    waiting_for = f"{words} ({reply.detail})" if reply.detail else words
    match reply.waiting_for:
        case WaitReason.NO_POLICY:
            return Said(State.WAITING_FOR_POLICY, waiting_for)
        case WaitReason.FINISHED:
            return Said(State.FINISHED, waiting_for)
        case _:
            return Said(State.WAITING_FOR_LEASE, waiting_for)


def _said(facts: Facts) -> Iterator[Said]:
    """All that applies, the most telling first."""
    at_work = facts.under_way if facts.connected else facts.under_way | {State.CONNECTING}
    yield from (Said(state, why) for state, why in _AT_WORK if state in at_work)
    if facts.misfit:
        yield Said(State.CANNOT_CONTRIBUTE, f"work that it can do: {facts.misfit}")
    answered = said_by(facts.reply) if facts.reply else Said(State.STARTING)
    if answered.state is State.FINISHED:
        # Also when the coordinator has left since.
        yield answered
    yield from _without_policy(facts)
    if facts.away:
        yield Said(State.COORDINATOR_AWAY, facts.away)
    if facts.reply:
        yield from _without_newer_policy(facts)
    yield answered


def _without_policy(facts: Facts) -> Iterator[Said]:
    """Why the newest policy is not there yet."""
    if facts.obstacle and facts.served and any(_lacking(facts)):
        yield Said(State.FEED_FROZEN, facts.obstacle.waiting_for)
    if facts.obstacle:
        yield facts.obstacle
    if facts.fetching:
        yield Said(State.FETCHING, f"policy {facts.fetching}")


def _without_newer_policy(facts: Facts) -> Iterator[Said]:
    """What a group in hand lacks, or the actor as a whole."""
    yield from (Said(State.WAITING_FOR_POLICY, words) for words in _lacking(facts))
    if facts.served is None:
        yield Said(State.WAITING_FOR_POLICY, _WAITS[WaitReason.NO_POLICY])


def _lacking(facts: Facts) -> Iterator[str]:
    """What each group that cannot start waits for, where the served policy does not do for it."""
    served = facts.served
    for least in facts.awaited:
        if served is None:
            yield f"policy {least} or newer"
        elif served.version < least.version:
            yield f"version {least.version} or later: it has policy {served}"
        elif served.incarnation < least.incarnation:
            yield f"incarnation {least.incarnation} or later: it has policy {served}"
