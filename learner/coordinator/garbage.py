"""Removes archive segments that no ledger entry names.

They are left by rounds that died between the segment and the entry. A coordinator removes those of
the terms before its own, when it begins: what can name them stands in the log by then.
"""

import structlog
from tenacity import RetryCallState

from broker import retry
from broker.interface import Broker
from broker.logbook import read_log
from broker.objects.archive import Archive
from schemas import ledger

logger = structlog.get_logger()


async def collect_garbage(broker: Broker, archive: Archive, run: str, term: int) -> list[str]:
    """Remove what no entry names; waits for the servers, however long they are away.

    Returns the removed segments.

    Raises:
        StoreDenied: object storage refuses us.
    """
    named = await retry.until_available()(_named_segments, broker, run)
    collect = retry.until_available(_say_away)
    removed = await collect(archive.collect, named, before_term=term)
    if removed:
        logger.info("garbage", num_segments=len(removed))
    return removed


async def _named_segments(broker: Broker, run: str) -> set[str]:
    named: set[str] = set()
    async for item in read_log(broker, run):
        if isinstance(item.content, ledger.LedgerEntry):
            events = item.content.events
            named.update(one.segment for one in events if isinstance(one, ledger.GroupAccepted))
    return named


def _say_away(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        error = state.outcome.exception()
        logger.warning("storage-away", detail=f"waits for it before it begins: {error}")
