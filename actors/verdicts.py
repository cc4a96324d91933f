"""What became of an actor's work, counted for its own screen.

consumes    `verdict.<run>.<actor>`, and what the daemon itself gives up
produces    counts by reason, each with the last detail; leases to give back
waits for   the coordinator's word
"""

from collections.abc import Callable
from typing import Final

import structlog
from msgspec import Struct

from broker.changes import Changes
from broker.interface import Broker
from broker.program.sanitise import sanitise
from schemas import wire
from schemas.errors import Rejected
from schemas.names import verdict_subject
from schemas.verdict import Outcome, Verdict

_MAX_EXPECTED: Final = 1024

_log = structlog.get_logger(__name__)


class Losses(Struct, frozen=True, kw_only=True):
    """How much was lost for one reason."""

    reason: str
    """Of a verdict, or a word of the daemon's own such as `deadline`."""
    count: int
    detail: str
    """Of the last one, safe to print."""


class Verdicts:
    """Counts of one process's life; messages that nobody heard are not in them."""

    def __init__(
        self,
        broker: Broker,
        run: str,
        actor: str,
        give_back: Callable[[int], None],
        changes: Changes,
    ) -> None:
        """`give_back` takes the lease of a group that was refused without a look inside."""
        self._broker = broker
        self._subject = verdict_subject(run, actor)
        self.num_accepted = 0
        self._losses: dict[str, Losses] = {}
        self._give_back = give_back
        self._changes = changes
        self._published: dict[str, int] = {}
        """Leases of the last groups that have no verdict yet, by their digests."""

    @property
    def losses(self) -> tuple[Losses, ...]:
        """The most frequent first."""
        return tuple(sorted(self._losses.values(), key=lambda lost: (-lost.count, lost.reason)))

    def count_loss(self, reason: str, detail: str) -> None:
        """Count one lease or group that came to nothing."""
        before = self._losses.get(reason)
        self._losses[reason] = Losses(
            reason=reason, count=1 + (before.count if before else 0), detail=sanitise(detail)
        )
        _log.warning("lost", reason=reason, detail=detail)
        self._changes.notify()

    def expect(self, sha256: str, lease_id: int) -> None:
        """Take note of a group that is about to be published."""
        self._published[sha256] = lease_id
        if len(self._published) > _MAX_EXPECTED:
            del self._published[next(iter(self._published))]

    def count(self, verdict: Verdict) -> None:
        """Count one verdict of the coordinator.

        A stale group is refused by its subject: the coordinator does not know its lease, which
        would stay open until its deadline and keep work from others.
        """
        lease_id = self._published.pop(verdict.sha256, None)
        if verdict.lease_id is None and lease_id is not None:
            self._give_back(lease_id)
        if verdict.outcome is Outcome.ACCEPTED:
            self.num_accepted += 1
            self._changes.notify()
        else:
            self.count_loss(str(verdict.reason or verdict.outcome), verdict.detail)

    async def listen(self) -> None:
        """Count every verdict on the actor's messages from now on."""
        async for _subject, data in self._broker.listen(self._subject):
            try:
                self.count(wire.decode(data, Verdict))
            except Rejected as error:
                _log.warning("verdict not understood", why=str(error))
