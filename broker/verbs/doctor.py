"""`broker doctor`: is everything as a run needs it? And the shorter question of other verbs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY
from broker.program.command import Servers
from broker.verbs.looking import Where, look_around
from broker.verbs.options import Json, Nats, SettingsFile, Watch, named_file
from schemas.settings import Connection

if TYPE_CHECKING:
    from broker.doctor.finding import Finding


def doctor(
    run: Annotated[str, typer.Argument(help="Name of a run; left out: all of them.")] = "",
    monitor: Annotated[
        str,
        typer.Option(metavar="URL", help="Monitoring port of the nats-server: http://HOST:8222."),
    ] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Check servers, streams, storage and key files, and say what mends each finding.

    Exit status 0: all is well. 1: a warning. 2: something critical.
    """
    from broker.doctor.diagnose import Diagnosis, diagnose
    from broker.doctor.view import show_diagnosis
    from schemas.resolve import resolve
    from schemas.settings import LearnerSettings

    connection = Where(nats, settings, servers).connection()
    resolved = resolve(LearnerSettings, ["--name", "any", *named_file(settings)])
    runs = Path(resolved.directory).expanduser()

    async def examine() -> Diagnosis:
        return await diagnose(
            connection,
            run=run,
            directory=servers,
            runs=runs,
            monitor=monitor,
        )

    found = look_around(examine, show_diagnosis, json=json, watch=watch)
    raise typer.Exit(found.exit_status)


def troubles(connection: Connection, servers: Path) -> "list[Finding]":
    """What is wrong with nats-servers that are about to be used.

    Raises:
        UserError: one is too old.
    """
    import asyncio

    from broker.doctor.before_use import check_before_use

    return asyncio.run(check_before_use(connection, servers))


def show_troubles(found: "list[Finding]") -> None:
    """Print what a verb has found by the way."""
    from broker.doctor.view import show_finding

    for finding in found:
        show_finding(finding)
