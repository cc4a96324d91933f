"""`broker up`, `down` and `status`: the servers themselves."""

import shlex
from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, typed
from broker.program.command import Servers, writes_below
from broker.verbs.doctor import show_troubles, troubles
from broker.verbs.looking import Where, look_around
from broker.verbs.options import Json, Nats, SettingsFile, Watch
from schemas.errors import UserError

Port = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Default: the last one, or a free one.")
]


def up(
    context: typer.Context,
    servers: Servers = SERVERS_DIRECTORY,
    nats_port: Port = None,
    s3_port: Port = None,
    nodes: Annotated[
        int | None,
        typer.Option(help="nats-servers: 1, or 3 that keep a copy each. Default: as before, or 1."),
    ] = None,
    accounts: Annotated[
        bool,
        typer.Option(
            "--accounts",
            help="Ask everybody who he is, now and at every later start: see `broker invite`.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Start nats-server and SeaweedFS on loopback ports, and wait until they answer.

    Where some of them run, the others are started.
    """
    from broker.embedded import servers as both
    from broker.program import screen
    from broker.program.endpoint import shown

    writes_below(context, servers)
    started = both.up(
        servers, nats_port, s3_port, num_nodes=nodes, accounts=accounts, detached=True
    )
    connection = started.connection()
    try:
        found = troubles(connection, servers)
    except UserError:
        both.down(servers)
        raise
    if json:
        screen.show_json(connection)
        return
    screen.show_line(f"NATS at {shown(connection.nats)}, object storage at {connection.s3}")
    screen.show_line(f"What they store is in {servers}; {typed('down', servers)} stops them.")
    if servers != SERVERS_DIRECTORY:
        option = shlex.join(["--servers", str(servers)])
        screen.show_line(f"Other verbs, of `learner` too, find them with `{option}`.")
    show_troubles(found)


def down(
    servers: Servers = SERVERS_DIRECTORY,
    node: Annotated[
        int | None, typer.Option(help="Stop this node of a cluster alone: 1, 2 or 3.")
    ] = None,
    json: Json = False,
) -> None:
    """Stop both servers within seconds; what they have stored stays."""
    from broker.embedded import servers as both
    from broker.program import screen

    found = both.down(servers, node)
    if json:
        screen.show_json(found)
        return
    names = ", ".join(found.stopped)
    what = f"Stopped {names}" if names else "None of them was running"
    screen.show_line(f"{what}; what they have stored is in {servers}.")


def status(
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Say whether both servers, or all nodes, answer; exit status 1 if one does not.

    With --nats and no settings file, that one server is asked.
    """
    from broker.look import health, views

    is_alone = nats and not settings
    connection = None if is_alone else Where(nats, settings, servers).connection()

    async def check() -> health.Health:
        if connection is None:
            return await health.check_nats_alone(nats)
        return await health.check_health(connection, servers)

    found = look_around(check, views.show_health, json=json, watch=watch)
    raise typer.Exit(0 if found.healthy else 1)
