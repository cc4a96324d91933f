"""`broker peek` and `why`: messages, and the groups in them."""

from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers
from broker.verbs.options import Json, Nats, Run, SettingsFile, ask, named_file


def peek(
    run: Run = "",
    stream: Annotated[
        str, typer.Option(help="A shard, LOG, POLICIES, or a name of `ls`; default: all queues.")
    ] = "",
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many messages.")] = 1,
    sequence: Annotated[
        int | None, typer.Option("--id", min=1, metavar="SEQ", help="One message.")
    ] = None,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Show stored messages, decoded, and leave them where they are."""
    from broker.inventory import the_run
    from broker.look import peek, views
    from broker.program import screen

    async def look(broker: Broker) -> list[peek.Sight]:
        name = await the_run(broker, run)
        return await peek.peek(broker, name, stream=stream, last=last, sequence=sequence)

    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    sights = ask(connection, look)
    screen.show_json(sights) if json else views.show_sights(sights)


def why(
    id: Annotated[
        str, typer.Argument(help="A lease (7), a message (s0:12), or the beginning of a sha256.")
    ],
    run: Annotated[str, typer.Option(help="Name of the run, if there are several.")] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Tell the life of a group, from its lease to the policy that it helped to make."""
    from broker.inventory import the_run
    from broker.look import life, views
    from broker.program import screen

    async def tell(broker: Broker) -> life.Life:
        return await life.life_in_run(broker, await the_run(broker, run), id)

    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    told = ask(connection, tell)
    screen.show_json(told) if json else views.show_life(told)
