"""The lease desk: who gets work next.

`hand_out` is pure: state, announced version and the requests that wait -> leases and reasons. The
caller writes what it returns to the log before anybody hears of it.
"""

import heapq
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from learner.coordinator import capacity
from learner.coordinator.allowance import allowance, hard_cap_in_line
from learner.coordinator.draw import draw_lease
from learner.coordinator.probation import lacks_signal, may_have_one, probation
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

    def give(self, index: int, event: ledger.LeaseIssued) -> None:
        self.events.append(event)
        self.leases[index].append(event.lease)


def hand_out(
    state: RunState,
    requests: Sequence[LeaseRequest],
    *,
    announced: PolicyId | None,
    now: float,
    stop_ids: tuple[int, ...],
) -> HandOut:
    """Give one lease at a time to the actor with the fewest, until nobody may have more.

    Of actors with as many, the first in `requests` comes first; no two requests are of one actor.
    `now` is Unix seconds. The state is left as it is; the events change it when they are folded.
    """
    closed = closed_for_all(state, announced)
    result = HandOut(events=[], leases=[[] for _ in requests], reasons=[closed for _ in requests])
    if announced is None or closed:
        return result
    trial = _Trial(state, announced, now, stop_ids)
    # This holds up everything else while it runs, and anybody can wait: a heap, and no look at
    # those that are left when nothing is.
    hungry = [
        (trial.num_open[request.actor], index)
        for index, request in enumerate(requests)
        if request.wanted > 0
    ]
    heapq.heapify(hungry)
    while hungry and not trial.is_used_up:
        _, index = heapq.heappop(hungry)
        request = requests[index]
        result.reasons[index] = trial.refusal(request.actor)
        if result.reasons[index]:
            continue
        result.give(index, trial.issue(request))
        if len(result.leases[index]) < request.wanted:
            heapq.heappush(hungry, (trial.num_open[request.actor], index))
    for _, index in hungry:
        result.reasons[index] = WaitReason.CAPACITY
    return result


def closed_for_all(state: RunState, announced: PolicyId | None) -> WaitReason:
    """Why nobody gets work; WaitReason.NONE when somebody may."""
    assert state.opened is not None
    if state.last_step >= state.opened.settings.trainer.num_steps:
        return WaitReason.FINISHED
    return WaitReason.NO_POLICY if announced is None else WaitReason.NONE


class _Trial:
    """The state with what has been handed out in this round on top of it."""

    def __init__(
        self, state: RunState, announced: PolicyId, now: float, stop_ids: tuple[int, ...]
    ) -> None:
        assert state.opened is not None
        self._state = state
        self._opened = state.opened
        self._settings = state.opened.settings
        self._announced = announced
        self._now = now
        self._stop_ids = stop_ids
        self._capacity = capacity.capacity(state, self._settings, announced.version)
        self._num_issued = 0
        self.num_open = Counter(issued.lease.actor for issued in state.open_leases.values())
        """By actor."""
        self._num_waiting = Counter(group.actor for group in state.waiting.values())
        self._is_paused = lacks_signal(state, self._settings)

    @property
    def is_used_up(self) -> bool:
        """True when enough groups are under way: nobody may have more."""
        return self._num_issued >= self._capacity

    def refusal(self, actor: str) -> WaitReason:
        """Why this actor may have no more; NONE when it may."""
        state, settings, num_open = self._state, self._settings, self.num_open[actor]
        if state.is_cut_off(actor):
            return WaitReason.CUT_OFF
        doubt = probation(state, settings, actor, is_paused=self._is_paused)
        if doubt and (num_open or not may_have_one(state, settings, actor, self._now)):
            return doubt
        if num_open >= allowance(state, settings, actor):
            return WaitReason.ACTOR_LIMIT
        if num_open + self._num_waiting[actor] >= hard_cap_in_line(settings):
            return WaitReason.TOO_FEW_ACTORS
        return WaitReason.NONE

    def issue(self, request: LeaseRequest) -> ledger.LeaseIssued:
        """The next lease, to the actor of this request."""
        lease = draw_lease(
            self._opened,
            self._state.num_issued + self._num_issued,
            request,
            self._least_policy(),
            self._now + self._settings.leases.lifetime_s,
            self._stop_ids,
        )
        self._num_issued += 1
        self.num_open[request.actor] += 1
        return ledger.LeaseIssued(
            lease=lease, request_id=request.request_id, instance=request.instance
        )

    def _least_policy(self) -> PolicyId:
        version = capacity.least_version(
            self._state, self._settings, self._announced.version, ahead=self._num_issued
        )
        return PolicyId(self._announced.incarnation, version)
