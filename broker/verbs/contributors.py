"""`broker invite`, `revoke`, `contributors` and `gate`: who may contribute to a run."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.accounts.tier import Tier
from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.gate.meter import FloodLimits
from broker.interface import Broker
from broker.program.command import Servers, settings_from, takes
from broker.verbs.looking import Where, look
from broker.verbs.options import Json, Run, SettingsFile, Watch, ask, named_file
from schemas.errors import UserError
from schemas.run_card import RunCard
from schemas.settings import Connection, IntakeSettings

if TYPE_CHECKING:
    from broker.accounts.roster import Roster

LIMITS = takes(FloodLimits)

Name = Annotated[
    str, typer.Argument(help="Your word for the contributor: letters, digits, `-` and `_`.")
]
Of = Annotated[str, typer.Option("--run", help="Name of the run, if there are several.")]
Reach = Annotated[
    str,
    typer.Option(
        "--reach", metavar="URL", help="Address at which contributors reach the NATS server."
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        metavar="FILE",
        help="PEM of who signed the server's TLS certificate, if machines do not know him.",
    ),
]


def invite(
    name: Name,
    run: Of = "",
    tier: Annotated[
        Tier, typer.Option(help="Trusted actors publish to queues of their own.")
    ] = Tier.STRANGER,
    days: Annotated[float, typer.Option(min=0.001, max=3650, help="How long it is good.")] = 7.0,
    reach: Reach = "",
    tls_ca: Authority = None,
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Print a link that lets one contributor in, once: `actor join LINK` takes it."""
    from broker.accounts.inviting import invite as make
    from broker.accounts.keyring import Keyring
    from broker.gate.card import read_card
    from broker.program import screen

    connection = _with_accounts(settings, servers)
    folder = Path(connection.accounts)
    keyring, roster = Keyring.load(folder), _roster(folder)

    async def read(broker: Broker) -> tuple[RunCard, IntakeSettings]:
        return await read_card(broker, run, reach or connection.nats, _pem(tls_ca))

    card, intake = ask(connection, read, servers)
    invitation = make(
        name,
        tier,
        card=card,
        intake=intake,
        keyring=keyring,
        roster=roster,
        lifetime_s=days * 86_400,
    )
    link = invitation.link()
    if json:
        actor = roster.find(name).actor
        screen.show_json({"name": name, "run": card.run, "actor": actor, "link": link})
        return
    # Not cut and not wrapped: it is copied as a whole.
    typer.echo(link)


def revoke(
    name: Name,
    why: Annotated[str, typer.Option(help="For your own list.")] = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Throw a contributor out, now and for good; what he has in the queue is judged as ever."""
    import asyncio

    from broker.accounts.keyring import Keyring
    from broker.gate.throwing_out import throw_out
    from broker.program import screen

    connection = _with_accounts(settings, servers)
    folder = Path(connection.accounts)
    keyring, roster = Keyring.load(folder), _roster(folder)
    revoked = asyncio.run(throw_out(connection, keyring, roster, name, why))
    if json:
        screen.show_json(revoked)
        return
    screen.show_line(f"{revoked.name} ({revoked.actor}) is out of run {revoked.run}.")


def contributors(
    run: Run = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """List who was invited: tier, since when, last seen, accepted, refused, bytes."""
    from broker.inventory import the_run
    from broker.look.contributors import (
        Contributions,
        ContributorView,
        list_contributors,
        show_contributors,
    )
    from broker.look.read_on import LogFold

    roster = _roster(Path(_with_accounts(settings, servers).accounts))
    logs: dict[str, LogFold[Contributions]] = {}

    async def read(broker: Broker) -> list[ContributorView]:
        name = await the_run(broker, run)
        log = logs.setdefault(name, LogFold(name, Contributions))
        return await list_contributors(broker, log, name, roster.all())

    look(Where("", settings, servers), read, show_contributors, json=json, watch=watch)


def gate(
    context: typer.Context,
    run: Run = "",
    reach: Reach = "",
    tls_ca: Authority = None,
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Let in who was invited and throw out who floods, until Ctrl-C or SIGTERM.

    What one contributor may send follows as settings: --messages_per_s 50.
    """
    import asyncio

    from broker.gate.card import wait_for_card
    from broker.gate.service import serve_gate
    from broker.program import screen
    from broker.program.logs import log_to_stderr

    limits = settings_from(context, FloodLimits)
    log_to_stderr(logging.INFO)
    connection = _with_accounts(settings, servers)

    async def read(broker: Broker) -> RunCard:
        nats = reach or connection.nats
        return await wait_for_card(broker, run, nats, _pem(tls_ca), screen.show_line)

    card = ask(connection, read, servers)
    folder = Path(connection.accounts)
    asyncio.run(serve_gate(connection.nats, folder, card, limits, screen.show_line))


def _with_accounts(settings: str, servers: Path) -> Connection:
    """Raises UserError when the servers know no accounts."""
    connection = find_connection(named_file(settings), directory=servers, option="--settings")
    if not connection.accounts:
        raise UserError("these servers ask nobody who he is: there is nobody to invite or revoke")
    return connection


def _roster(folder: Path) -> "Roster":
    from broker.accounts.roster import Roster

    return Roster(folder / "contributors")


def _pem(path: Path | None) -> str:
    try:
        return path.read_text(encoding="ascii") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the certificate {path}: {error}") from None
