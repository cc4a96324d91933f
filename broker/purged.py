"""What LOG says was purged: removed from a queue without a look at each message.

A purge is in the log twice, before it with what is to go and behind it with what went. Like the
rest of the tally this shares no code with the coordinator's own fold.
"""

from collections import Counter
from collections.abc import Container, Iterator

from msgspec import Struct, field

from schemas import ledger
from schemas.purge import PurgeReason

Place = tuple[str, int]
"""Stream and sequence."""


class Purged(Struct, kw_only=True):
    """All purges, by number, and the messages that they took."""

    begun: dict[int, ledger.PurgeBegun] = field(default_factory=dict)
    told: dict[int, ledger.MessagesPurged] = field(default_factory=dict)
    by: dict[Place, int] = field(default_factory=dict)
    """The purge that took a message."""

    @property
    def unfinished(self) -> list[ledger.PurgeBegun]:
        """What they take may be gone already, and is not told yet."""
        return [purge for number, purge in self.begun.items() if number not in self.told]

    def reason(self, place: Place) -> PurgeReason:
        """Why a message that was purged was."""
        return self.told[self.by[place]].reason

    def enter(
        self, event: ledger.PurgeBegun | ledger.MessagesPurged, judged: Container[Place]
    ) -> Iterator[str]:
        """Enter the beginning or the end of a purge; yields what cannot be, in words."""
        if isinstance(event, ledger.PurgeBegun):
            self.begun[event.purge] = event
        else:
            yield from self._tell(event, judged)

    def _tell(self, event: ledger.MessagesPurged, judged: Container[Place]) -> Iterator[str]:
        self.told[event.purge] = event
        places = [(event.stream, n) for first, last in event.spans for n in range(first, last + 1)]
        if again := [place for place in places if place in judged or place in self.by]:
            yield (
                f"purge {event.purge} tells of what was judged or purged before it: "
                f"{len(again)} messages, the first is {again[0][1]} of {event.stream}"
            )
        for place in places:
            self.by.setdefault(place, event.purge)
        if fault := _fault(self.begun.get(event.purge), event):
            yield f"purge {event.purge} {fault}"

    def counts(self, stream: str | None = None) -> Counter[str]:
        """Messages by `purge_name`; of one stream or all."""
        found: Counter[str] = Counter()
        for event in self.told.values():
            if stream in (None, event.stream):
                found[purge_name(event.reason)] += event.num_messages
        return +found


def purge_name(reason: PurgeReason) -> str:
    """What became of a message without a verdict: `purged`, or `purged(cut-off)`."""
    return "purged" if reason is PurgeReason.PURGED else f"purged({reason})"


def _fault(begun: ledger.PurgeBegun | None, told: ledger.MessagesPurged) -> str:
    """What the two ends of a purge do not agree on; empty when they do."""
    if begun is None:
        return "is told and never began"
    if (begun.stream, begun.reason) != (told.stream, told.reason):
        return "began in another stream, or for another reason, than it is told of"
    if any(not begun.first <= first <= last <= begun.through for first, last in told.spans):
        return f"is told of more than sequences {begun.first} to {begun.through}"
    if told.num_messages > begun.num_messages:
        return f"took {told.num_messages} messages of the {begun.num_messages} that were there"
    return ""
