"""What became of an actor's work, counted for its own screen.

consumes    `verdict.<run>.<actor>`, and what the daemon itself gives up
produces    counts by reason, each with the last detail
waits for   the coordinator's word
"""

import structlog
from msgspec import Struct

from actors.changes import Changes
from broker.interface import Broker
from broker.sanitise import sanitise
from schemas import wire
from schemas.errors import Rejected
from schemas.names import verdict_subject
from schemas.verdict import Outcome, Verdict

_log = structlog.get_logger(__name__)


class Refusals(Struct, frozen=True, kw_only=True):
    """How much was lost for one reason."""

    reason: str
    """Of a verdict, or a word of the daemon's own such as `deadline`."""
    count: int
    detail: str
    """Of the last one, safe to print."""


class Verdicts:
    """Counts of one process's life; messages that nobody heard are not in them."""

    def __init__(self, broker: Broker, run: str, actor: str, changes: Changes) -> None:
        self._broker = broker
        self._subject = verdict_subject(run, actor)
        self.num_accepted = 0
        self._refusals: dict[str, Refusals] = {}
        self._changes = changes

    @property
    def refusals(self) -> tuple[Refusals, ...]:
        """The most frequent first."""
        return tuple(sorted(self._refusals.values(), key=lambda r: (-r.count, r.reason)))

    def refuse(self, reason: str, detail: str) -> None:
        """Count one lease or group that came to nothing."""
        before = self._refusals.get(reason)
        self._refusals[reason] = Refusals(
            reason=reason, count=1 + (before.count if before else 0), detail=sanitise(detail)
        )
        _log.warning("refused", reason=reason, detail=detail)
        self._changes.notify()

    def count(self, verdict: Verdict) -> None:
        """Count one verdict of the coordinator."""
        if verdict.outcome is Outcome.ACCEPTED:
            self.num_accepted += 1
            self._changes.notify()
        else:
            self.refuse(str(verdict.reason or verdict.outcome), verdict.detail)

    async def listen(self) -> None:
        """Count every verdict on the actor's messages from now on."""
        async for _subject, data in self._broker.listen(self._subject):
            try:
                self.count(wire.decode(data, Verdict))
            except Rejected as error:
                _log.warning("verdict not understood", why=str(error))
