"""An actor's first connection to the run's broker, which may be away when the actor starts.

consumes    the address on the run card
produces    a connection; until then a report for the screen after each attempt
waits for   a server at that address
"""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress

import structlog

from actors.membership import Membership
from actors.report import Report
from broker import retry
from broker.jetstream import NatsBroker
from schemas.errors import ServerMissing, UserError
from schemas.heartbeat import State

_log = structlog.get_logger(__name__)


async def arrive(
    membership: Membership, stop: asyncio.Event, show: Callable[[Report], None]
) -> NatsBroker | None:
    """The run's broker, however long it is away; None when `stop` is set first.

    A wrong address looks like a server that is away, so the first failure is said in full.

    Raises:
        UserError: the address is none of a NATS server, or the broker does not let this actor in.
    """
    card, actor = membership.card, membership.actor
    for attempt in itertools.count(1):
        try:
            return await NatsBroker.connect(
                card.nats,
                name=f"actor {actor}",
                credentials=membership.credentials,
                tls_ca=card.tls_ca,
            )
        except ServerMissing as error:
            if error.refuses:
                raise not_let_in(actor) from error
            if attempt == 1:
                _log.warning("waiting for the run's broker", run=card.run, why=str(error))
        show(Report(run=card.run, actor=actor, state=State.CONNECTING, waiting_for="the broker"))
        with suppress(TimeoutError):
            async with asyncio.timeout(retry.full_jitter_s(attempt)):
                await stop.wait()
        if stop.is_set():
            show(Report(run=card.run, actor=actor, state=State.STOPPED))
            return None
    raise AssertionError("the count has no end")


def not_let_in(actor: str) -> UserError:
    """What to raise when the broker refuses an actor."""
    return UserError(
        f"the run's broker does not let {actor} in, or not any more; send this id to the run's "
        "operator, who knows why and can invite you"
    )
