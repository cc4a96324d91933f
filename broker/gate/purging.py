"""Asks the coordinator to remove what somebody who was cut off has left in the queue."""

from typing import Final

from broker.accounts.roster import Contributor
from broker.interface import Broker
from schemas import names, wire
from schemas.errors import BrokerError, Rejected
from schemas.purge import PurgeReason, PurgeReply, PurgeRequest

_TIMEOUT_S: Final = 60.0


async def purge_contributor(broker: Broker, contributor: Contributor) -> int:
    """Have every message of his removed and counted, and his leases end; returns how many.

    Raises:
        BrokerError: nobody coordinates the run, or the coordinator does not do it now.
    """
    request = PurgeRequest(run=contributor.run, reason=PurgeReason.CUT_OFF, actor=contributor.actor)
    subject = names.purge_subject(contributor.run)
    answer = await broker.request(subject, wire.encode(request), timeout_s=_TIMEOUT_S)
    try:
        reply = wire.decode(answer, PurgeReply)
    except Rejected as error:
        raise BrokerError(f"the coordinator's answer cannot be read: {error}") from None
    if reply.detail:
        raise BrokerError(reply.detail)
    return sum(queue.num_messages for queue in reply.queues)
