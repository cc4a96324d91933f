"""Messages that are judged one by one, aside from everybody else's.

A message on which a judging process hits a limit may have been unlucky in its neighbours, so it is
judged once more while nothing else is. Until then all that its sender sends waits here behind it,
and the others' messages go on. What a sender hits in spite of that is counted; after a few such
hits the others are not stopped for its messages any more, and of a crowd of them that waits, most
are refused for what those before them did: a hit costs the time of a thousand honest messages.

When many bytes lie here, a notorious actor's messages are refused as well, so that they keep nobody
waiting. Who has hit little may be honest: for his messages the next round waits. They are judged
while everything else stands still, and few of them are needed to clear him or to know him.
"""

from collections import Counter, deque
from typing import NamedTuple

from broker.changes import Changes
from broker.interface import Delivery
from learner.coordinator.finding import Finding
from schemas.verdict import Reason

_NOTORIOUS_HITS = 3
_PATIENCE = 16
"""Messages of a notorious actor that wait, up to which each is examined."""
_REMEMBERED_ACTORS = 1024
_MAX_WAITING_BYTES = 32 << 20
_HITS = (Reason.CPU, Reason.MEMORY, Reason.JUDGING_FAILED)
"""Whoever is at fault: what ends a judging process costs the same."""


class _Hits(NamedTuple):
    number: int = 0
    reason: Reason = Reason.NONE
    """Of the last one."""


class Suspects:
    """Who is suspected, and what of theirs waits. Forgotten with the process."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Delivery]] = deque()
        self._num_waiting: Counter[str] = Counter()
        """By actor, the one that is being judged included."""
        self._num_bytes = 0
        self._hits: dict[str, _Hits] = {}
        """Confirmed ones by actor, the latest hit last."""
        self._changes = Changes()

    def suspects(self, actor: str) -> bool:
        """True when this actor's messages are to be judged aside."""
        return self._num_waiting[actor] > 0 or self.is_notorious(actor)

    def is_notorious(self, actor: str) -> bool:
        """True when its first hit is the verdict, and nobody is stopped for it."""
        return self._hits.get(actor, _Hits()).number >= _NOTORIOUS_HITS

    def surplus(self, actor: str) -> Reason:
        """Why to refuse one more message of this actor, or one that waits, without a look at it;
        NONE when it is to be looked at."""
        crowd = self._num_waiting[actor] > _PATIENCE or self._is_full()
        return self._hits[actor].reason if crowd and self.is_notorious(actor) else Reason.NONE

    def _is_full(self) -> bool:
        return self._num_bytes >= _MAX_WAITING_BYTES

    async def room(self) -> None:
        """Wait while too many bytes lie here; one round more may be put."""
        await self._changes.until(lambda: not self._is_full())

    def put(self, actor: str, delivery: Delivery) -> None:
        """Set a message aside."""
        self._waiting.append((actor, delivery))
        self._num_waiting[actor] += 1
        self._num_bytes += len(delivery.record.data)
        self._changes.notify()

    async def take(self) -> tuple[str, Delivery]:
        """The next message to judge; waits for one."""
        await self._changes.until(lambda: self._waiting)
        return self._waiting.popleft()

    def settle(self, actor: str, delivery: Delivery, finding: Finding | None) -> None:
        """A message that was taken has its verdict."""
        if finding is not None and finding.reason in _HITS:
            number = self._hits.pop(actor, _Hits()).number + 1
            self._hits[actor] = _Hits(number, finding.reason)
            if len(self._hits) > _REMEMBERED_ACTORS:
                del self._hits[next(iter(self._hits))]
        self._num_waiting[actor] -= 1
        if not self._num_waiting[actor]:
            del self._num_waiting[actor]
        self._num_bytes -= len(delivery.record.data)
        self._changes.notify()
