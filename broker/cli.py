"""The `broker` command: start and stop the servers, create a run's streams, and look at everything.

Verbs that look create nothing and consume nothing. Exit status 1 means that the answer is no (a
server does not answer, the audit does not hold), 2 that the question could not be put.
"""

import logging
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection, typed
from broker.interface import Broker
from broker.program.command import Servers, application, settings_from, takes, writes_below
from schemas.errors import BrokerError, StoreError, UserError
from schemas.settings import Connection, LearnerSettings

_CONNECT_TIMEOUT_S = 3.0

T = TypeVar("T")

Port = Annotated[
    int | None, typer.Option(min=1, max=65_535, help="Default: the last one, or a free one.")
]
Nats = Annotated[str, typer.Option("--nats", metavar="URL", help="URL of the NATS server.")]
SettingsFile = Annotated[
    str, typer.Option("--settings", metavar="FILE", help="TOML file that has a connection section.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
Run = Annotated[str, typer.Argument(help="Name of the run; may be left out if there is one.")]

app = application(
    "The queue, the logs and object storage of Tributary runs.", log_level=logging.ERROR
)


@app.command()
def up(
    context: typer.Context,
    servers: Servers = SERVERS_DIRECTORY,
    nats_port: Port = None,
    s3_port: Port = None,
    json: Json = False,
) -> None:
    """Start nats-server and SeaweedFS on loopback ports, and wait until they answer."""
    from broker.embedded import servers as both
    from broker.program import screen

    writes_below(context, servers)
    started = both.up(servers, nats_port, s3_port, detached=True)
    connection = started.connection()
    if json:
        screen.show_json(connection)
        return
    screen.show_line(f"NATS at {connection.nats}, object storage at {connection.s3}")
    screen.show_line(f"What they store is in {servers}; {typed('down', servers)} stops them.")
    if servers != SERVERS_DIRECTORY:
        option = shlex.join(["--servers", str(servers)])
        screen.show_line(f"Other verbs, of `learner` too, find them with `{option}`.")


@app.command()
def down(servers: Servers = SERVERS_DIRECTORY, json: Json = False) -> None:
    """Stop both servers within seconds; what they have stored stays."""
    from broker.embedded import servers as both
    from broker.program import screen

    found = both.down(servers)
    if json:
        screen.show_json(found)
        return
    names = " and ".join(found.stopped)
    what = f"Stopped {names}" if names else "Neither server was running"
    screen.show_line(f"{what}; what they have stored is in {servers}.")


@app.command()
def status(
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Say whether both servers answer; exit status 1 if one does not.

    With --nats and no settings file, that one server is asked.
    """
    import asyncio

    from broker.look import health, views
    from broker.program import screen

    if nats and not settings:
        asked = health.check_nats_alone(nats)
    else:
        asked = health.check_health(find_connection(_file(settings), nats=nats, directory=servers))
    found = asyncio.run(asked)
    screen.show_json(found) if json else views.show_health(found)
    raise typer.Exit(0 if found.healthy else 1)


@app.command(**takes(LearnerSettings))
def init(
    context: typer.Context,
    nats: Nats = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Create the streams of a run, or check those that are there: `broker init @ file.toml`."""
    from broker.program import screen
    from broker.streams import run_streams
    from schemas.settings import run_settings

    settings = settings_from(context, LearnerSettings)
    specs = run_streams(run_settings(settings))

    async def create(broker: Broker) -> None:
        for spec in specs:
            await broker.ensure_stream(spec)

    _ask(find_connection(context.args, nats=nats, directory=servers), create)
    if json:
        screen.show_json(specs)
        return
    for spec in specs:
        screen.show_line(f"{spec.name} stores {', '.join(spec.subjects)}")


@app.command()
def ls(
    run: Annotated[str, typer.Argument(help="Name of a run; left out: everything.")] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """List runs and streams, with what their numbers mean."""
    from broker.look import listing, views
    from broker.program import screen

    connection = find_connection(_file(settings), nats=nats, directory=servers)
    found = _ask(connection, lambda broker: listing.list_server(broker, run))
    screen.show_json(found) if json else views.show_listing(found)


@app.command()
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

    connection = find_connection(_file(settings), nats=nats, directory=servers)
    sights = _ask(connection, look)
    screen.show_json(sights) if json else views.show_sights(sights)


@app.command()
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

    connection = find_connection(_file(settings), nats=nats, directory=servers)
    told = _ask(connection, tell)
    screen.show_json(told) if json else views.show_life(told)


@app.command()
def audit(
    run: Run = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read and hash the archive: rows, waiting groups.")
    ] = False,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Check that nothing was lost, used twice or used too late; exit status 1 if something was."""
    from broker.audit import AuditReport, audit_run
    from broker.inventory import the_run
    from broker.look import views
    from broker.objects.s3 import S3Store
    from broker.program import screen

    connection = find_connection(_file(settings), nats=nats, directory=servers)

    async def check(broker: Broker) -> AuditReport:
        name = await the_run(broker, run)
        if not deep:
            return await audit_run(broker, name)
        store = S3Store.open(connection)
        try:
            return await audit_run(broker, name, store=store)
        finally:
            await store.close()

    report = _ask(connection, check)
    screen.show_json(report) if json else views.show_audit(report)
    raise typer.Exit(0 if report.holds else 1)


@app.command()
def bench(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Option(help="A directory on the disk that is to be measured.")
    ] = Path(),
    writes: Annotated[int, typer.Option(min=2, max=1_000_000, help="How many.")] = 500,
    json: Json = False,
) -> None:
    """Measure durable writes to a disk, on a nats-server started for it and stopped again."""
    import asyncio

    from broker.bench import bench as measure
    from broker.program import screen

    writes_below(context, directory)
    found = asyncio.run(measure(directory, writes))
    if json:
        screen.show_json(found)
        return
    screen.show_line(
        f"{found.writes_per_s:.0f} durable writes a second of {found.num_bytes} bytes, one behind "
        f"the other; half take {found.p50_ms:.2f} ms or less, 99 of 100 {found.p99_ms:.2f} ms"
    )


def _file(settings: str) -> list[str]:
    """The settings arguments that name a file, if there is one."""
    return ["@", settings] if settings else []


def _ask(connection: Connection, question: Callable[[Broker], Awaitable[T]]) -> T:
    """Connect, ask, and close.

    Raises:
        UserError: a server is not there, or does not answer as it should.
    """
    import asyncio

    from broker.jetstream import NatsBroker
    from broker.program.endpoint import told

    async def ask() -> T:
        broker = await NatsBroker.connect(
            connection.nats, name="broker", connect_timeout_s=_CONNECT_TIMEOUT_S
        )
        try:
            return await question(broker)
        finally:
            await broker.close()

    try:
        return asyncio.run(ask())
    except BrokerError as error:
        raise UserError(told("the server", connection.nats, error)) from None
    except StoreError as error:
        raise UserError(told("object storage", connection.s3 or "AWS", error)) from None
