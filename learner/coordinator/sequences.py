"""A set of a queue's sequences in one bit each: kept for the whole run."""

from collections.abc import Iterable

from schemas.ledger import Span


class Sequences:
    """Looks like a set of numbers that only grows."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, sequence: int) -> None:
        place = sequence >> 3
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        self._bits[place] |= 1 << (sequence & 7)

    def add_spans(self, spans: Iterable[Span]) -> None:
        for first, last in spans:
            for sequence in range(first, last + 1):
                self.add(sequence)

    def __contains__(self, sequence: int) -> bool:
        place = sequence >> 3
        return place < len(self._bits) and bool(self._bits[place] >> (sequence & 7) & 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequences) and self._bits == other._bits


def to_spans(sequences: Iterable[int]) -> tuple[Span, ...]:
    """Sequences as spans, in their order.

    >>> to_spans({5, 1, 2, 3})
    (Span(first=1, last=3), Span(first=5, last=5))
    """
    spans: list[Span] = []
    for sequence in sorted(sequences):
        if spans and spans[-1].last == sequence - 1:
            spans[-1] = Span(spans[-1].first, sequence)
        else:
            spans.append(Span(sequence, sequence))
    return tuple(spans)
