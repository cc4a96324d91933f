"""`broker peek` and `why`: messages, and the groups in them."""

from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY
from broker.interface import Broker
from broker.program.command import Servers
from broker.verbs.looking import Where, look
from broker.verbs.options import Json, Nats, Run, RunOption, SettingsFile, Watch


def peek(
    run: Run = "",
    stream: Annotated[
        str, typer.Option(help="A shard, LOG, POLICIES, or a name of `ls`; default: all queues.")
    ] = "",
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many messages.")] = 1,
    sequence: Annotated[
        int | None, typer.Option("--id", min=1, metavar="SEQ", help="One message.")
    ] = None,
    actor: Annotated[str, typer.Option(help="Only of this actor: its id, or how it begins.")] = "",
    reason: Annotated[str, typer.Option(help="Only what was refused for it: tokens, late.")] = "",
    where: Annotated[
        str, typer.Option(metavar="EXPR", help="Only where it is true: reward.mean > 0.5")
    ] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show stored messages, decoded and with their verdicts, and leave them where they are.

    Of judged ones the archive, or the sample of rejected ones, has the bytes.

    EXPR joins comparisons by and, or, not: of fields with fields, numbers,
    'texts', None and lists of them, by == != < <= > >= in. Fields: actor,
    age, bytes, detail, engine, lease, reason, sequence, shard, staleness,
    step, task, verdict, version; and with .min, .mean or .max: advantage,
    claimed, logprob, part.NAME, reward, sampled, tokens.
    """
    from broker.inventory import the_run
    from broker.look import peek, views
    from broker.look.message import Messages
    from broker.look.read_on import LogFold
    from broker.look.search import Chosen
    from broker.look.sight import Sight
    from broker.objects.s3 import S3Store

    asked, num_unseen = Where(nats, settings, servers), 0
    logs: dict[str, LogFold[Messages]] = {}
    connection = asked.connection()

    async def sights(broker: Broker) -> list[Sight]:
        nonlocal num_unseen
        name = await the_run(broker, run)
        found = await peek.peek(
            broker,
            name,
            log=logs.setdefault(name, peek.log_of(name)),
            open_store=lambda: S3Store.open(connection),
            stream=stream,
            last=last,
            sequence=sequence,
            chosen=Chosen(actor=actor, reason=reason, where=where),
        )
        num_unseen = found.num_unseen
        return found.sights

    look(asked, sights, views.show_sights, json=json, watch=watch)
    if num_unseen:
        typer.echo(
            f"--where could not look into {num_unseen} messages: their bytes were not kept",
            err=True,
        )


def why(
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
    """Tell the life of a group, from its lease to the policy that it helped to make."""
    from broker.inventory import the_run
    from broker.look import life, views

    async def tell(broker: Broker) -> life.Life:
        return await life.life_in_run(broker, await the_run(broker, run), id)

    look(Where(nats, settings, servers), tell, views.show_life, json=json, watch=watch)
