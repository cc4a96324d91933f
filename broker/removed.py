"""Whose messages the purges of a run removed: a purge's beginning says of whom, its end which."""

from msgspec import Struct

from schemas import ledger
from schemas.purge import PurgeReason

EVERYBODY = "*"
"""The last word of a pattern over the subjects of all actors."""


class Removed(Struct, frozen=True, kw_only=True):
    """What one purge took."""

    actor: str | None
    """None: it was of several, and nothing says how many of each."""
    reason: PurgeReason
    num_messages: int


class Removals:
    """Puts the two ends of each purge together, by its number. Said twice, each counts once."""

    def __init__(self) -> None:
        self._actors: dict[int, str | None] = {}
        self._told: set[int] = set()

    def enter(self, event: ledger.PurgeBegun | ledger.MessagesPurged) -> Removed | None:
        """What went by a purge, when its end is entered and something did."""
        if isinstance(event, ledger.PurgeBegun):
            last = event.subject.rpartition(".")[2]
            self._actors[event.purge] = None if last == EVERYBODY else last
            return None
        if event.purge in self._told:
            return None
        self._told.add(event.purge)
        if not event.num_messages:
            return None
        return Removed(
            actor=self._actors.get(event.purge),
            reason=event.reason,
            num_messages=event.num_messages,
        )
