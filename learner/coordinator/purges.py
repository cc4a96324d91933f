"""Which messages were purged, and which purges are under way: a fold of the ledger."""

from collections import defaultdict
from collections.abc import Set

import msgspec

from broker.interface import Record
from broker.subjects import matches
from learner.coordinator.sequences import Sequences, to_spans
from schemas import ledger


class Purges(msgspec.Struct, kw_only=True):
    """All purges of the run."""

    num_begun: int = 0
    unfinished: dict[int, ledger.PurgeBegun] = {}
    """By number. What they removed is not told yet, or they have not removed it yet."""
    _finished: defaultdict[str, list[ledger.PurgeBegun]] = msgspec.field(
        default_factory=lambda: defaultdict(list)
    )
    """By stream."""
    _gone: defaultdict[str, Sequences] = msgspec.field(
        default_factory=lambda: defaultdict(Sequences)
    )
    """By stream."""

    def apply(self, event: ledger.PurgeBegun | ledger.MessagesPurged | ledger.RunRestored) -> None:
        match event:
            case ledger.PurgeBegun() if event.purge >= self.num_begun:
                self.num_begun += 1
                self.unfinished[event.purge] = event
            case ledger.MessagesPurged():
                begun = self.unfinished.pop(event.purge, None)
                if begun is not None:
                    self._finished[event.stream].append(begun)
                    self._gone[event.stream].add_spans(event.spans)
            case ledger.RunRestored():
                # The queues were made anew: what the old ones held is lost, not purged.
                self.unfinished.clear()
            case _:
                pass

    def took(self, record: Record) -> bool:
        """True when a message was purged: it may have been in hand by then, and gets no verdict.

        A server that lost power gives the sequence to another message. The subject tells, where it
        is another sender's.
        """
        gone = self._gone.get(record.stream)
        if gone is None or record.sequence not in gone:
            return False
        return any(
            purge.first <= record.sequence <= purge.through
            and matches(purge.subject, record.subject)
            for purge in self._finished[record.stream]
        )

    def told(
        self, begun: ledger.PurgeBegun, missing: Set[int], judged: Sequences
    ) -> ledger.MessagesPurged:
        """What a purge took, worked out from the sequences that its stretch of the queue lacks.

        Nothing leaves a queue but with a verdict or by a purge, so the rest of them went by this
        one: also what it removed for a coordinator that did not live to tell.
        """
        gone = self._gone.get(begun.stream, Sequences())
        return ledger.MessagesPurged(
            purge=begun.purge,
            stream=begun.stream,
            reason=begun.reason,
            spans=to_spans(one for one in missing if one not in judged and one not in gone),
        )
