"""What is true of the daemon: written by its parts, read by heartbeats and the screen."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from actors.rate import Rate
from actors.state import Facts, Said, state_of
from broker.changes import Changes
from broker.program.sanitise import sanitise
from schemas.heartbeat import State
from schemas.lease import LeaseReply
from schemas.policy import PolicyId

MAX_WORDS: Final = 200
"""As long as a heartbeat may say what its sender waits for."""


class Status:
    """The facts that decide the state, and the few figures that a person wants to see.

    Whoever writes an attribute calls `changes.notify`.
    """

    def __init__(self, connected: Callable[[], bool] = lambda: True) -> None:
        """`connected` says whether the broker is there."""
        self._connected = connected
        self.changes = Changes()
        # See `actors.state.Facts`.
        self.policy: PolicyId | None = None
        """The policy that is served."""
        self.fetching: PolicyId | None = None
        self.obstacle: Said | None = None
        self.awaited: tuple[PolicyId, ...] = ()
        self.misfit = ""
        self.away = ""
        self.reply: LeaseReply | None = None
        self._under_way: Counter[State] = Counter()
        # Figures.
        self.tokens = Rate()
        """Sampled tokens."""
        self.groups_published = 0

    @contextmanager
    def doing(self, state: State) -> Iterator[None]:
        """Say that this goes on, until the block ends. It may go on several times at once."""
        self._under_way[state] += 1
        self.changes.notify()
        try:
            yield
        finally:
            self._under_way[state] -= 1
            self.changes.notify()

    def count(self, state: State) -> int:
        """How often this goes on."""
        return self._under_way[state]

    @property
    def facts(self) -> Facts:
        return Facts(
            connected=self._connected(),
            under_way=frozenset(+self._under_way),
            misfit=self.misfit,
            served=self.policy,
            fetching=self.fetching,
            obstacle=self.obstacle,
            awaited=self.awaited,
            away=self.away,
            reply=self.reply,
        )

    @property
    def state(self) -> State:
        return state_of(self.facts).state

    @property
    def waiting_for(self) -> str:
        """What it waits for in its state, safe to print; empty when it waits for nothing."""
        return sanitise(state_of(self.facts).waiting_for, max_length=MAX_WORDS)

    async def another_state(self, than: State, *, timeout_s: float) -> None:
        """Wait until the state is another one, or the time is over."""
        await self.changes.until(lambda: self.state is not than, timeout_s=timeout_s)
