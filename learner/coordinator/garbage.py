"""Removes archive segments that no ledger entry names.

They are left by rounds that died between the segment and the entry. Only the coordinator removes
them, after its first write to the log and before its first round: from then on nobody else can name
a segment, and it has not written one.
"""

import structlog

from broker import retry
from broker.interface import Broker
from broker.logbook import read_log
from broker.objects.archive import Archive
from schemas import ledger
from schemas.errors import StoreUnavailable

logger = structlog.get_logger()


async def collect_garbage(broker: Broker, archive: Archive, run: str) -> list[str]:
    """Remove what no entry names; waits for object storage, however long it is away.

    Returns the removed segments.

    Raises:
        BrokerUnavailable: the log cannot be read.
        StoreDenied: object storage refuses us.
    """
    named: set[str] = set()
    async for item in read_log(broker, run):
        if isinstance(item.content, ledger.LedgerEntry):
            events = item.content.events
            named.update(one.segment for one in events if isinstance(one, ledger.GroupAccepted))
    async for attempt in retry.until_available():
        with attempt:
            try:
                removed = await archive.collect(named)
            except StoreUnavailable as error:
                if attempt.retry_state.attempt_number == 1:
                    logger.warning("storage-away", detail=f"waits for it before it begins: {error}")
                raise
            if removed:
                logger.info("garbage", num_segments=len(removed))
            return removed
    raise AssertionError("the retry has no limit")
