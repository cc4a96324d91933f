"""How fast something happens, over the last few seconds."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_WINDOW_S: Final = 10.0


class Rate:
    """Counts per second over a sliding window."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._counts: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, count: int) -> None:
        self._counts.append((self._clock(), count))
        self._sum += count
        self._forget()

    def per_s(self) -> float:
        """Over the window, or over the time since the start while that is shorter."""
        self._forget()
        seconds = min(_WINDOW_S, self._clock() - self._started)
        return self._sum / max(seconds, 1e-3)

    def _forget(self) -> None:
        horizon = self._clock() - _WINDOW_S
        while self._counts and self._counts[0][0] < horizon:
            self._sum -= self._counts.popleft()[1]
