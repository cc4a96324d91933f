"""`broker show` and `export`: groups of rollouts, to look at and to work with."""

import shutil
from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers
from broker.verbs.options import Json, Nats, SettingsFile, ask, named_file


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
        return
    for line in group_page.page(found, shutil.get_terminal_size().columns):
        screen.show_line(line)
