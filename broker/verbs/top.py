"""`broker top`: what goes on in a run, as it happens."""

import sys
from typing import Annotated, Final

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers
from broker.top.sort import Sort
from broker.verbs.looking import Where, look
from broker.verbs.options import Json, Nats, Run, SettingsFile, Watch, ask, named_file

_EVERY_S: Final = 1.0
"""Seconds between two looks of the screen where --watch does not say it."""


def top(
    run: Run = "",
    sort: Annotated[Sort, typer.Option(help="The column that actors are sorted by.")] = Sort.GROUPS,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show what every actor does: on a screen of its own in a terminal, once in a pipe.

    Rates are over the last minute, staleness and latency over an actor's last 32 groups.
    """
    from broker.top import lines, show
    from broker.top.badges import badges_in

    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    badges = badges_in(connection.accounts)

    if json or not sys.stdout.isatty():
        looks = show.Looks(run, badges, sort=sort, reverse=reverse)
        look(Where(nats, settings, servers), looks, lines.show, json=json, watch=watch)
        return

    async def on_screen(broker: Broker) -> None:
        every_s = watch or _EVERY_S
        await show.on_screen(broker, run, badges, sort=sort, reverse=reverse, every_s=every_s)

    ask(connection, on_screen, servers)
