"""What a contributor of a run is told, read from the run's own log."""

import asyncio
from collections.abc import Callable
from typing import Final

from broker.interface import Broker
from broker.inventory import the_run
from broker.logbook import first_event
from schemas.errors import UserError
from schemas.ledger import RunOpened
from schemas.run_card import RunCard
from schemas.settings import IntakeSettings

_LOOK_AGAIN_S: Final = 1.0


async def read_card(
    broker: Broker, run: str, nats: str, tls_ca: str
) -> tuple[RunCard, IntakeSettings]:
    """The card of a run, or of the only one there is, and its queues.

    Raises:
        UserError: there is no such run, or it is not open yet.
    """
    name = await the_run(broker, run)
    opened = await first_event(broker, name)
    if opened is None:
        raise UserError(f"run {name} is not open yet: its coordinator has to start once")
    return _card(name, opened, nats, tls_ca), opened.settings.intake


async def wait_for_card(
    broker: Broker, run: str, nats: str, tls_ca: str, say: Callable[[str], None]
) -> RunCard:
    """The same card, when the run is open; `say` is told once that it is not yet.

    Raises:
        UserError: there is no such run.
    """
    name = await the_run(broker, run)
    if not (opened := await first_event(broker, name)):
        say(f"Run {name} is not open yet: waiting until its coordinator starts.")
    while opened is None:
        await asyncio.sleep(_LOOK_AGAIN_S)
        opened = await first_event(broker, name)
    return _card(name, opened, nats, tls_ca)


def _card(run: str, opened: RunOpened, nats: str, tls_ca: str) -> RunCard:
    return RunCard(
        run=run,
        nats=nats,
        tls_ca=tls_ca,
        run_key=opened.run_key,
        environment=opened.environment,
    )
