"""Rings when something has changed that others may be waiting for.

A ring is remembered for each listener, so that one that works when it rings looks once more. For
waiting until a condition over attributes is true, see `broker.changes`.
"""

import asyncio


class Bell:
    """One ringer, many listeners; a ring while a listener is busy is not lost."""

    def __init__(self) -> None:
        self._events: list[asyncio.Event] = []

    def listen(self) -> asyncio.Event:
        """An event that every ring sets; the listener clears it before it looks."""
        event = asyncio.Event()
        self._events.append(event)
        return event

    def ring(self) -> None:
        for event in self._events:
            event.set()
