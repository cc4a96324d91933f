"""Lets each actor have a few requests under way at once, so that none fills the room."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from schemas.errors import Rejected
from schemas.verdict import Reason


class Turnstile:
    """Counts who is inside."""

    def __init__(self, max_inside: int) -> None:
        self._max_inside = max_inside
        self._inside: Counter[str] = Counter()

    @contextlib.contextmanager
    def passing(self, actor: str) -> Iterator[None]:
        """Count the actor as inside for the length of the block.

        Raises:
            Rejected: it has as many requests under way as it may have.
        """
        if self._inside[actor] >= self._max_inside:
            raise Rejected(
                Reason.NONE, f"{self._max_inside} requests of this actor are under way already"
            )
        self._inside[actor] += 1
        try:
            yield
        finally:
            self._inside[actor] -= 1
            if not self._inside[actor]:
                del self._inside[actor]
