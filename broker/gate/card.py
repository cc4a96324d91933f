"""What a contributor of a run is told, read from the run's own log."""

from broker.interface import Broker
from broker.inventory import the_run
from broker.logbook import first_event
from schemas.errors import UserError
from schemas.run_card import RunCard
from schemas.settings import IntakeSettings


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
    card = RunCard(
        run=name,
        nats=nats,
        tls_ca=tls_ca,
        run_key=opened.run_key,
        environment=opened.environment,
    )
    return card, opened.settings.intake
