"""Which actors get one lease now and then instead of as many as they want. Pure.

| on probation is an actor | until |
|---|---|
| with a good part of the groups without signal that pause the run | some group has signal |
| that left many more leases unanswered than it fulfilled | it has fulfilled some |

So a policy that has converged pauses the run, and a group of each actor now and then shows when it
goes on; an actor whose groups never have signal, however fast it is, stops nobody else. Leases may
be given back freely up to about half of them, for whatever reason: beyond, each needs one that is
fulfilled. A refused answer is neither: whoever sends garbage gets leases like the others.
"""

from learner.coordinator.state import RunState
from schemas.lease import WaitReason
from schemas.settings import RunSettings

_LEASE_EVERY_S = 10.0
_FREE_UNANSWERED = 2
"""Times the leases that an actor may hold at once: one restart, and another."""


def probation(state: RunState, settings: RunSettings, actor: str, *, is_paused: bool) -> WaitReason:
    """Why this actor is on probation; NONE when it is not.

    `is_paused` is what `lacks_signal` says: it counts all actors, so it is asked once for them all.
    """
    if is_paused:
        # A good part: half of what would be an equal one.
        own, num_actors = state.without_signal[actor], len(state.without_signal)
        if 2 * own * num_actors >= settings.batch.no_signal_limit:
            return WaitReason.NO_SIGNAL
    if state.unanswered[actor] > _FREE_UNANSWERED * settings.leases.max_open_per_actor:
        return WaitReason.UNANSWERED
    return WaitReason.NONE


def lacks_signal(state: RunState, settings: RunSettings) -> bool:
    """True when too many groups in a row had no signal: the run pauses."""
    return state.without_signal.total() >= settings.batch.no_signal_limit


def may_have_one(state: RunState, settings: RunSettings, actor: str, now: float) -> bool:
    """True when an actor on probation that holds no lease may have one; `now` is Unix seconds."""
    last = state.last_requests.get(actor)
    if last is None:
        return True
    issued = last.deadline - settings.leases.lifetime_s
    # Not issued yet: by a clock that was ahead.
    return now < issued or issued + _LEASE_EVERY_S <= now
