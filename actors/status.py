"""What the daemon is doing: written by its parts, read by heartbeats and the screen.

Several things go on at once (a group is published while the next one is generated), and a screen
has room for one word. Each part says what it does for as long as it does it; the most telling of
these words is the state.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from actors.rate import Rate
from broker.changes import Changes
from broker.program.sanitise import sanitise
from schemas.heartbeat import State
from schemas.policy import PolicyId

MAX_WORDS: Final = 200
"""As long as a heartbeat may say what its sender waits for."""

_MOST_TELLING_FIRST: Final = (
    State.STOPPED,
    State.DRAINING,
    State.CONNECTING,
    State.QUEUE_FULL,
    State.LOADING,
    State.GENERATING,
    State.PUBLISHING,
    State.FETCHING,
    State.COORDINATOR_AWAY,
    State.FEED_FROZEN,
    State.STORE_AWAY,
    State.FINISHED,
    State.WAITING_FOR_POLICY,
    State.WAITING_FOR_LEASE,
    State.STARTING,
)


class _Activity:
    """One thing that goes on. Compared by identity: two groups are two activities."""

    def __init__(self, state: State, why: str) -> None:
        self.state = state
        self.why = why


class Status:
    """The activities under way, and the few figures that a person wants to see."""

    def __init__(self, connected: Callable[[], bool] = lambda: True) -> None:
        """`connected` says whether the broker is there."""
        self._connected = connected
        self.changes = Changes()
        self.policy: PolicyId | None = None
        """The policy that is served."""
        self.tokens = Rate()
        """Sampled tokens."""
        self.groups_published = 0
        self._activities: list[_Activity] = []

    @contextmanager
    def doing(self, state: State, why: str = "") -> Iterator[None]:
        """Say that this goes on, until the block ends; `why` names what it waits for."""
        activity = _Activity(state, why)
        self._activities.append(activity)
        self.changes.notify()
        try:
            yield
        finally:
            self._activities.remove(activity)
            self.changes.notify()

    def count(self, state: State) -> int:
        """How many activities of this kind are under way."""
        return sum(activity.state is state for activity in self._activities)

    @property
    def state(self) -> State:
        return self._foremost().state

    @property
    def waiting_for(self) -> str:
        """What the foremost activity waits for, safe to print; empty when it waits for nothing."""
        return sanitise(self._foremost().why, max_length=MAX_WORDS)

    async def another_state(self, than: State, *, timeout_s: float) -> None:
        """Wait until the state is another one, or the time is over."""
        await self.changes.until(lambda: self.state is not than, timeout_s=timeout_s)

    def _foremost(self) -> _Activity:
        activities = [*self._activities, _Activity(State.STARTING, "")]
        if not self._connected():
            activities.append(_Activity(State.CONNECTING, "the broker"))
        return min(activities, key=lambda activity: _MOST_TELLING_FIRST.index(activity.state))
