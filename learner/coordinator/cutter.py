"""Cuts batches as soon as they can be cut.

consumes   the state, the announced version
produces   batches.<run>.<step>: one write, the commit point of the step
waits for  enough accepted groups with signal; version s - 2 to be announced
"""

from collections.abc import Sequence

import structlog

from learner.coordinator import cut
from learner.coordinator.bell import Bell
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from schemas import ledger

logger = structlog.get_logger()


class Cutter:
    """Turns waiting groups into batches."""

    def __init__(self, log: RunLog, known: KnownPolicies, bell: Bell) -> None:
        self._log = log
        self._known = known
        self._bell = bell
        self._rung = bell.listen()

    async def run(self) -> None:
        """Look after every change, for ever.

        Raises:
            Fenced: another coordinator has taken over.
        """
        while True:
            while await self.look():
                self._bell.ring()
            await self._rung.wait()
            self._rung.clear()

    async def look(self) -> bool:
        """Cut one batch if that can be done, or drop what is too old; True if there may be more.

        Raises:
            Fenced: another coordinator has taken over.
        """
        async with self._log.lock:
            version = self._known.last.policy.version if self._known.last else None
            if not cut.may_cut(self._log.state, version):
                return False
            result = cut.cut(self._log.state, self._log.instance)
            if result.stale:
                step = self._log.state.next_step
                await self._log.append(dropped(step, result.stale))
                logger.info("groups-too-old", step=step, num_groups=len(result.stale))
            if result.batch is None:
                return bool(result.stale)
            await self._log.append_batch(result.batch)
            logger.info("batch", step=result.batch.step, num_rows=len(result.batch.rows))
            return True


def dropped(step: int, stale: Sequence[int]) -> list[ledger.GroupsDropped]:
    """As few events as hold them all."""
    most = ledger.MAX_DROPPED
    parts = [tuple(stale[first : first + most]) for first in range(0, len(stale), most)]
    return [ledger.GroupsDropped(step=step, lease_ids=part) for part in parts]
