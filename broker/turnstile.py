"""Lets a few requests of each subject be under way at once, so that nobody fills the room."""

import contextlib
from collections import Counter
from collections.abc import Iterator

MAX_INSIDE = 8
"""Requests of one subject: one that waits, its repetitions, and what lost connections have left."""


class Turnstile:
    """Counts who is inside, by subject."""

    def __init__(self) -> None:
        self._inside: Counter[str] = Counter()

    def enter(self, subject: str) -> bool:
        """Count one more of a subject as inside; False when it is full, and this one stays out."""
        if self._inside[subject] >= MAX_INSIDE:
            return False
        self._inside[subject] += 1
        return True

    @contextlib.contextmanager
    def inside(self, subject: str) -> Iterator[None]:
        """For one that has entered: it leaves at the end of the block."""
        try:
            yield
        finally:
            self._inside[subject] -= 1
            if not self._inside[subject]:
                del self._inside[subject]
