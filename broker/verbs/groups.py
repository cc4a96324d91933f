"""`broker show` and `export`: groups of rollouts, to look at and to work with."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers, writes_below
from broker.verbs.options import Json, Nats, SettingsFile, ask, named_file
from schemas.errors import UserError


def show(
    id: Annotated[
        str, typer.Argument(help="A lease (7), a message (s0:12), or the beginning of a sha256.")
    ],
    run: Annotated[str, typer.Option(help="Name of the run, if there are several.")] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Show one group: its prompt, and each rollout's text, rewards and log-probabilities.

    Rollouts stand side by side on a terminal of 110 columns or more, else below each other.
    Exit status 1: its bytes are not to be had, and only what the log says is shown.
    """
    from broker.inventory import the_run
    from broker.look import group_page
    from broker.look.group import GroupShown
    from broker.look.show import show as find
    from broker.objects.s3 import S3Store
    from broker.program import screen
    from environments.spelling import speller

    connection = find_connection(named_file(settings), nats=nats, directory=servers)

    async def look(broker: Broker) -> GroupShown:
        return await find(
            broker,
            await the_run(broker, run),
            id,
            open_store=lambda: S3Store.open(connection),
            find_speller=speller,
        )

    found = ask(connection, look)
    if json:
        screen.show_json(found)
    else:
        for line in group_page.page(found, shutil.get_terminal_size().columns):
            screen.show_line(line)
    raise typer.Exit(1 if found.missing else 0)


def export(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID|RANGE",
            help="An id as of `show`, steps (12..20, 12.., ..20), or leases (lease-7..40).",
        ),
    ],
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", metavar="FILE", help="Write JSON Lines.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet (pyarrow).")
    ] = None,
    run: Annotated[str, typer.Option(help="Name of the run, if there are several.")] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Write groups to a file, a row for each rollout: tokens, mask, log-probabilities, rewards, ...

    A range of steps has the rows of their batches, one of leases whatever was judged on them.
    """
    from broker.backup.progress import progress_bar
    from broker.export import jsonl as lines
    from broker.export import parquet as columns
    from broker.export import writing
    from broker.inventory import the_run
    from broker.look import views
    from broker.objects.s3 import S3Store
    from broker.program import screen
    from environments.spelling import speller

    match jsonl, parquet:
        case (Path() as path, None):
            rows_in = lines.JsonLines
        case (None, Path() as path):
            rows_in = columns.Parquet
        case _:
            raise UserError("say where it goes with --jsonl FILE or --parquet FILE, one of them")
    writes_below(context, path.parent)
    connection = find_connection(named_file(settings), nats=nats, directory=servers)

    async def write(broker: Broker) -> writing.Exported:
        with progress_bar() as progress:
            return await writing.export(
                broker,
                await the_run(broker, run),
                what,
                path,
                rows_in=rows_in,
                open_store=lambda: S3Store.open(connection),
                find_speller=speller,
                progress=progress,
            )

    written = ask(connection, write)
    screen.show_json(written) if json else views.show_exported(written)
