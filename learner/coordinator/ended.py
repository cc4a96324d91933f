"""How each ended lease ended, and who held it: kept for the whole run, in five bytes a lease.

A late or second answer may come at any time, and gets the right verdict by this. Lease numbers
count from 0, so two arrays indexed by them are enough.
"""

from array import array
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class LeaseEnd(StrEnum):
    """How a lease ended."""

    FULFILLED = "fulfilled"
    REFUSED = "refused"
    EXPIRED = "expired"
    ABANDONED = "abandoned"


class EndedLease(NamedTuple):
    end: LeaseEnd
    actor: str


_ENDS = tuple(LeaseEnd)
_NOT_ENDED = 0
"""In `_end`; an ended lease has 1 + its place in `_ENDS`."""


class EndedLeases:
    """Looks like a read-only mapping from lease id to EndedLease."""

    def __init__(self) -> None:
        self._end = bytearray()
        self._actor = array("I")
        self._actors: dict[str, int] = {}
        """Numbered in order of their first ended lease."""
        self._names: list[str] = []

    def add(self, lease_id: int, end: LeaseEnd, actor: str) -> None:
        missing = lease_id + 1 - len(self._end)
        if missing > 0:
            self._end.extend(bytes(missing))
            self._actor.extend([0] * missing)
        if actor not in self._actors:
            self._actors[actor] = len(self._names)
            self._names.append(actor)
        self._end[lease_id] = _ENDS.index(end) + 1
        self._actor[lease_id] = self._actors[actor]

    def get(self, lease_id: int) -> EndedLease | None:
        """None: not ended, or never issued."""
        if lease_id >= len(self._end) or self._end[lease_id] == _NOT_ENDED:
            return None
        return EndedLease(_ENDS[self._end[lease_id] - 1], self._names[self._actor[lease_id]])

    def __getitem__(self, lease_id: int) -> EndedLease:
        found = self.get(lease_id)
        if found is None:
            raise KeyError(lease_id)
        return found

    def __contains__(self, lease_id: int) -> bool:
        return self.get(lease_id) is not None

    def __iter__(self) -> Iterator[int]:
        return (lease_id for lease_id, end in enumerate(self._end) if end != _NOT_ENDED)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EndedLeases) and dict(self._items()) == dict(other._items())

    def _items(self) -> Iterator[tuple[int, EndedLease]]:
        return ((lease_id, self[lease_id]) for lease_id in self)
