"""The server's time, told from the records that it stores: clocks of two machines differ.

A record is heard a little after it was stored, so of all differences the smallest is nearest to the
truth. Until a record is heard as it comes, the clocks are taken to agree.

>>> clock = ServerClock(lambda: 1000.0)
>>> clock.now()
1000.0
>>> clock.hear(940.5, live=True)
>>> clock.hear(900.0, live=True)
>>> clock.now()
940.5
"""

from collections.abc import Callable


class ServerClock:
    """Unix seconds on the server's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds of this machine."""
        self._clock = clock
        self._behind: float | None = None
        """The server's clock shows so much less than ours."""

    def hear(self, stored: float, *, live: bool) -> None:
        """A record says when it was stored; one that is old tells only of a clock ahead of ours."""
        behind = self._clock() - stored
        if live or behind < 0:
            self._behind = behind if self._behind is None else min(self._behind, behind)

    def now(self) -> float:
        return self._clock() - (self._behind or 0.0)
