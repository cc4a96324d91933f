"""The lease desk: who gets work next.

`hand_out` is pure: state, announced version and the requests that wait -> leases and reasons. The
caller writes what it returns to the log before anybody hears of it.
"""

from collections.abc import Sequence

from msgspec import Struct

from learner.coordinator import capacity
from learner.coordinator.cut import hard_cap
from learner.coordinator.draw import draw_lease
from learner.coordinator.probation import may_have_one, probation
from learner.coordinator.state import RunState
from schemas import ledger
from schemas.lease import Lease, LeaseRequest, WaitReason
from schemas.policy import PolicyId


class HandOut(Struct, kw_only=True):
    """What each request, by its position, gets in this round."""

    events: list[ledger.LeaseIssued]
    leases: list[list[Lease]]
    reasons: list[WaitReason]
    """Why a request gets nothing (more)."""


def hand_out(
    state: RunState,
    requests: Sequence[LeaseRequest],
    *,
    announced: PolicyId | None,
    now: float,
    stop_ids: tuple[int, ...],
) -> HandOut:
    """Give one lease at a time to the actor with the fewest, until nobody may have more.

    `now` is Unix seconds. The state is left as it is; the events change it when they are folded.
    """
    opened = state.opened
    assert opened is not None, "the run is opened before the desk is"
    result = HandOut(
        events=[], leases=[[] for _ in requests], reasons=[WaitReason.NONE for _ in requests]
    )
    closed = closed_for_all(state, announced)
    if announced is None or closed:
        result.reasons = [closed or WaitReason.NO_POLICY for _ in requests]
        return result

    trial = _Trial(state, announced, now)
    hungry = [index for index, request in enumerate(requests) if request.wanted > 0]
    while hungry:
        hungry.sort(key=lambda index: (trial.num_open(requests[index].actor), index))
        index = hungry.pop(0)
        request = requests[index]
        reason = trial.refusal(request.actor)
        if reason:
            result.reasons[index] = reason
            continue
        lease = draw_lease(
            opened,
            state.num_issued + len(result.events),
            request,
            trial.least_policy(),
            now + opened.settings.leases.lifetime_s,
            stop_ids,
        )
        trial.take(request.actor)
        result.leases[index].append(lease)
        result.events.append(
            ledger.LeaseIssued(
                lease=lease, request_id=request.request_id, instance=request.instance
            )
        )
        if len(result.leases[index]) < request.wanted:
            hungry.append(index)
    return result


def closed_for_all(state: RunState, announced: PolicyId | None) -> WaitReason:
    """Why nobody gets work; WaitReason.NONE when somebody may."""
    assert state.opened is not None
    if state.last_step >= state.opened.settings.trainer.num_steps:
        return WaitReason.FINISHED
    return WaitReason.NO_POLICY if announced is None else WaitReason.NONE


class _Trial:
    """Counts what has been handed out in this round on top of the state."""

    def __init__(self, state: RunState, announced: PolicyId, now: float) -> None:
        assert state.opened is not None
        self._now = now
        self._state = state
        self._settings = state.opened.settings
        self._announced = announced
        self._left = capacity.capacity(state, self._settings, announced.version)
        self._taken = 0
        self._open: dict[str, int] = {}
        for issued in state.open_leases.values():
            actor = issued.lease.actor
            self._open[actor] = self._open.get(actor, 0) + 1
        self._waiting: dict[str, int] = {}
        for accepted in state.waiting.values():
            self._waiting[accepted.actor] = self._waiting.get(accepted.actor, 0) + 1

    def num_open(self, actor: str) -> int:
        return self._open.get(actor, 0)

    def refusal(self, actor: str) -> WaitReason:
        leases, batch = self._settings.leases, self._settings.batch
        if self._left <= 0:
            return WaitReason.CAPACITY
        doubt = probation(self._state, self._settings, actor)
        if doubt and (
            self.num_open(actor) > 0
            or not may_have_one(self._state, self._settings, actor, self._now)
        ):
            return doubt
        if self.num_open(actor) >= leases.max_open_per_actor:
            return WaitReason.ACTOR_LIMIT
        in_line = self.num_open(actor) + self._waiting.get(actor, 0)
        # Groups that a hard cap would keep out of every batch in the window are not asked for.
        if batch.actor_cap < 1.0 and in_line >= hard_cap(batch) * (leases.max_staleness + 1):
            return WaitReason.TOO_FEW_ACTORS
        return WaitReason.NONE

    def least_policy(self) -> PolicyId:
        version = capacity.least_version(
            self._state, self._settings, self._announced.version, ahead=self._taken
        )
        return PolicyId(self._announced.incarnation, version)

    def take(self, actor: str) -> None:
        self._left -= 1
        self._taken += 1
        self._open[actor] = self.num_open(actor) + 1
