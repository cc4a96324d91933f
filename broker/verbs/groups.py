"""`broker show` and `export`: groups of rollouts, to look at and to work with."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY
from broker.interface import Broker
from broker.program.command import Servers, writes_below
from broker.verbs.looking import Where, look
from broker.verbs.options import Json, Nats, RunOption, SettingsFile, Watch, ask
from schemas.errors import UserError


def show(
    id: Annotated[
        str, typer.Argument(help="A lease (7), a message (s0:12), or the beginning of a sha256.")
    ],
    run: RunOption = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show one group: its prompt, and each rollout's text, rewards and log-probabilities.

    Rollouts stand side by side where a terminal has 110 columns.

    Exit status 1: its bytes are not to be had, only what the log says.
    """
    from broker.inventory import the_run
    from broker.look import group_page
    from broker.look import show as groups
    from broker.look.group import GroupShown
    from broker.objects.s3 import S3Store
    from broker.program import screen
    from environments.spelling import speller

    where = Where(nats, settings, servers)
    connection = where.connection()

    async def find(broker: Broker) -> GroupShown:
        return await groups.show(
            broker,
            await the_run(broker, run),
            id,
            open_store=lambda: S3Store.open(connection),
            find_speller=speller,
        )

    def print_page(group: GroupShown) -> None:
        for line in group_page.page(group, shutil.get_terminal_size().columns):
            screen.show_line(line)

    found = look(where, find, print_page, json=json, watch=watch)
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
    run: RunOption = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Write groups to a file, a row for each rollout, with tokens, rewards and all the log says.

    Of steps the rows of their batches are written; of leases all that was
    judged on them.
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
    connection = Where(nats, settings, servers).connection()

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

    written = ask(connection, write, servers)
    screen.show_json(written) if json else views.show_exported(written)
