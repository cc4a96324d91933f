"""`broker info`, `subjects` and `consumers`: streams one by one."""

from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY
from broker.interface import Broker
from broker.program.command import Servers
from broker.verbs.looking import Where, logs_of, look
from broker.verbs.options import Actor, Json, Nats, Run, RunOption, SettingsFile, Watch


def info(
    stream: Annotated[
        str, typer.Argument(help="A name of `ls`, or within a run a shard, LOG or POLICIES.")
    ],
    run: RunOption = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Tell everything about one stream."""
    from broker.look import stream_views
    from broker.look.info import StreamInfo, stream_info

    async def tell(broker: Broker) -> StreamInfo:
        return await stream_info(broker, stream, run)

    where = Where(nats, settings, servers)
    look(where, tell, stream_views.show_info, json=json, watch=watch)


def subjects(
    run: Run = "",
    stream: Annotated[
        str, typer.Option(help="A shard, LOG, POLICIES, or a name of `ls`; default: all queues.")
    ] = "",
    actor: Actor = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Count the messages of each subject: who sent them, made with which policy."""
    from broker.look import stream_views
    from broker.look.subjects import SubjectView, view_subjects
    from broker.look.who import called_in

    where, logs = Where(nats, settings, servers), logs_of(run)
    called = called_in(where.connection().accounts) if actor else {}

    async def count(broker: Broker) -> list[SubjectView]:
        return await view_subjects(
            broker, await logs(broker), stream=stream, actor=actor, called=called
        )

    look(where, count, stream_views.show_subjects, json=json, watch=watch)


def consumers(
    run: Run = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Tell how far the reader of each queue is, in groups and in policy versions."""
    from broker.look import stream_views
    from broker.look.consumers import ConsumerView, view_consumers

    logs = logs_of(run)

    async def view(broker: Broker) -> list[ConsumerView]:
        return await view_consumers(broker, await logs(broker))

    where = Where(nats, settings, servers)
    look(where, view, stream_views.show_consumers, json=json, watch=watch)
