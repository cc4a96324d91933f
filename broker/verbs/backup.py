"""`broker backup` and `restore`: a run as a folder of files, and back."""

from pathlib import Path
from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers, writes_below
from broker.verbs.options import Json, Nats, SettingsFile, ask, named_file

Run = Annotated[str, typer.Argument(help="Name of the run.")]


def backup(
    context: typer.Context,
    run: Run,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where it goes; a second one adds to the first.")
    ],
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Copy a run's logs, archive and policies into a folder, also while it goes on.

    What the folder holds already is checked and not fetched again, so it can be interrupted.
    Exit status 1: the bucket lacks something that the logs name.
    """
    from broker.backup import views
    from broker.backup.progress import progress_bar
    from broker.backup.take import BackupReport, take_backup
    from broker.objects.s3 import S3Store
    from broker.program import screen

    writes_below(context, folder)
    connection = find_connection(named_file(settings), nats=nats, directory=servers)

    async def take(broker: Broker) -> BackupReport:
        store = S3Store.open(connection)
        try:
            with progress_bar() as progress:
                return await take_backup(broker, store, run, folder, progress)
        finally:
            await store.close()

    report = ask(connection, take, servers)
    screen.show_json(report) if json else views.show_backup(report)
    raise typer.Exit(0 if report.complete else 1)


def restore(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `broker backup` wrote.")],
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Put a backup's run onto servers that have nothing of it, and audit it.

    Exit status 1: it is there, and its audit does not hold.
    """
    from broker.backup import views
    from broker.backup.progress import progress_bar
    from broker.backup.restore import RestoreReport
    from broker.backup.restore import restore as put_back
    from broker.objects.s3 import S3Store
    from broker.program import screen

    connection = find_connection(named_file(settings), nats=nats, directory=servers)

    async def put(broker: Broker) -> RestoreReport:
        store = S3Store.open(connection)
        try:
            await store.ensure_bucket()
            with progress_bar() as progress:
                replicas = connection.num_replicas
                return await put_back(broker, store, folder, progress, num_replicas=replicas)
        finally:
            await store.close()

    report = ask(connection, put, servers)
    screen.show_json(report) if json else views.show_restore(report)
    raise typer.Exit(0 if report.audit.holds else 1)
