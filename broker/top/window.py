"""What was judged in the last seconds, summed up.

>>> window = Window()
>>> for time in (0, 10, 20):
...     window.add(time, tokens=100, num_bytes=50)
>>> window.rates(now=30)
Rates(groups_per_min=6.0, tokens_per_s=10.0, bytes_per_s=5.0)
>>> window.rates(now=75).groups_per_min
1.0
>>> window.rates(now=1000).groups_per_min
0.0
"""

from collections import deque
from typing import Final, NamedTuple

from broker.top.view import WINDOW_S, Rates

_SHORTEST_S: Final = 10.0
"""The first groups are not shown as a rate over an instant."""


class _Group(NamedTuple):
    time: float
    tokens: int
    num_bytes: int


class Window:
    """Groups of the last `WINDOW_S` seconds. Times are those of one clock, and hardly go back."""

    def __init__(self) -> None:
        self._groups: deque[_Group] = deque()
        self._tokens = 0
        self._num_bytes = 0
        self._since: float | None = None
        """When the first group of all came."""

    def add(self, time: float, *, tokens: int, num_bytes: int) -> None:
        """A group was judged."""
        if self._since is None:
            self._since = time
        self._groups.append(_Group(time, tokens, num_bytes))
        self._tokens += tokens
        self._num_bytes += num_bytes
        self._forget(time)

    def _forget(self, now: float) -> None:
        while self._groups and self._groups[0].time <= now - WINDOW_S:
            old = self._groups.popleft()
            self._tokens -= old.tokens
            self._num_bytes -= old.num_bytes

    def rates(self, now: float) -> Rates:
        """As of now."""
        self._forget(now)
        if not self._groups or self._since is None:
            return Rates()
        length_s = min(max(now - self._since, _SHORTEST_S), WINDOW_S)
        return Rates(
            groups_per_min=60 * len(self._groups) / length_s,
            tokens_per_s=self._tokens / length_s,
            bytes_per_s=self._num_bytes / length_s,
        )
