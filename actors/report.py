"""All that a person sees of a running actor, as one value.

consumes    status and verdicts
produces    a report for the screen at every change of state, at most twice a second, and at
            least every two seconds
waits for   a change of state
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from actors.status import Status
from actors.verdicts import Losses, Verdicts
from schemas.heartbeat import State

_SPACING_S: Final = 0.5
_REFRESH_S: Final = 1.5


class Report(Struct, frozen=True, kw_only=True):
    """An actor at one moment."""

    run: str
    actor: str
    state: State
    waiting_for: str = ""
    """Empty when it waits for nothing."""
    policy: str = ""
    """Incarnation and version; empty when none is served."""
    tokens_per_s: float = 0.0
    """Sampled tokens, over the last ten seconds."""
    groups_generating: int = 0
    groups_published: int = 0
    groups_accepted: int = 0
    lost: tuple[Losses, ...] = ()
    """Groups and leases that came to nothing, the most frequent reason first."""


class Reports:
    """Reports on one process, for its screen."""

    def __init__(self, run: str, actor: str, status: Status, verdicts: Verdicts) -> None:
        self._run = run
        self._actor = actor
        self._status = status
        self._verdicts = verdicts

    def now(self) -> Report:
        """The actor as it is at this moment."""
        return Report(
            run=self._run,
            actor=self._actor,
            state=self._status.state,
            waiting_for=self._status.waiting_for,
            policy=str(self._status.policy or ""),
            tokens_per_s=round(self._status.tokens.per_s(), 1),
            groups_generating=self._status.count(State.GENERATING),
            groups_published=self._status.groups_published,
            groups_accepted=self._verdicts.num_accepted,
            lost=self._verdicts.losses,
        )

    async def keep_showing(self, show: Callable[[Report], None]) -> None:
        """Show report after report, for ever."""
        while True:
            shown = self.now()
            show(shown)
            await asyncio.sleep(_SPACING_S)
            await self._status.another_state(shown.state, timeout_s=_REFRESH_S)
