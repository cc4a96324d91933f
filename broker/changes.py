"""Waiting for a condition over plain attributes, within one event loop.

Nothing is remembered: who does not wait when something changes finds out by testing its condition.
For a loop that does some work after every change, and must not miss one that comes meanwhile, see
`learner.coordinator.bell`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Changes:
    """Whoever changes an attribute calls `notify`; whoever waits tests its condition again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Let everybody who waits look again."""
        self._event.set()
        self._event.clear()

    async def until(
        self, condition: Callable[[], object], *, timeout_s: float | None = None
    ) -> None:
        """Return as soon as the condition is true, or when the time is over."""
        with suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it loses a cancellation that comes with the change.
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._event.wait()

    async def next(self, *, timeout_s: float | None = None) -> None:
        """Return at the next change, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
