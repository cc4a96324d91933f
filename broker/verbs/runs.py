"""`broker init`, `ls` and `audit`: runs as a whole."""

from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers, settings_from
from broker.verbs.doctor import show_troubles, troubles
from broker.verbs.looking import Where, look
from broker.verbs.options import Json, Nats, Run, SettingsFile, Watch, ask
from schemas.settings import LearnerSettings


def init(
    context: typer.Context,
    nats: Nats = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Create the streams of a run, or check those that are there: `broker init @ file.toml`.

    Where `connection.accounts` names a folder that is not there yet, an operator's keys come first.
    """
    from broker.accounts.access import SERVER_CONFIG, found_authority, make_run_credentials
    from broker.program import screen
    from broker.streams import run_streams
    from schemas.settings import run_settings

    settings = settings_from(context, LearnerSettings)
    connection = find_connection(context.args, nats=nats, directory=servers)
    specs = run_streams(run_settings(settings), num_replicas=connection.num_replicas)

    async def create(broker: Broker) -> None:
        for spec in specs:
            await broker.ensure_stream(spec)

    if found_authority(connection.accounts):
        screen.show_line(f"The operator's keys are in {connection.accounts}: show them to nobody.")
        screen.show_line(
            f"Put {SERVER_CONFIG} from there beside your nats-server's configuration, and into it "
            f"`include {SERVER_CONFIG}`; start the server again, and then say this once more."
        )
        return
    make_run_credentials(connection.accounts, settings.name, settings.intake.shards)
    found = troubles(connection, servers)
    ask(connection, create)
    if json:
        screen.show_json(specs)
        return
    for spec in specs:
        screen.show_line(f"{spec.name} stores {', '.join(spec.subjects)}")
    show_troubles(found)


def ls(
    run: Annotated[str, typer.Argument(help="Name of a run; left out: everything.")] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """List runs and streams, with what their numbers mean."""
    from broker.look import listing, views
    from broker.look.read_on import RunLogs

    known: dict[str, RunLogs] = {}

    async def all_there_is(broker: Broker) -> listing.Listing:
        return await listing.list_server(broker, run, known)

    where = Where(nats, settings, servers)
    look(where, all_there_is, views.show_listing, json=json, watch=watch)


def audit(
    run: Run = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read and hash the archive: rows, waiting groups.")
    ] = False,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Check that nothing was lost, used twice or used too late; exit status 1 if something was."""
    from broker.audit import AuditReport, audit_run
    from broker.inventory import the_run
    from broker.look import views
    from broker.look.read_on import LogFold
    from broker.objects.s3 import S3Store
    from broker.tally import Tally

    asked, logs = Where(nats, settings, servers), dict[str, LogFold[Tally]]()
    connection = asked.connection()

    async def check(broker: Broker) -> AuditReport:
        name = await the_run(broker, run)
        known = logs.setdefault(name, LogFold(name, Tally))
        if not deep:
            return await audit_run(broker, name, known=known)
        store = S3Store.open(connection)
        try:
            return await audit_run(broker, name, store=store, known=known)
        finally:
            await store.close()

    report = look(asked, check, views.show_audit, json=json, watch=watch)
    raise typer.Exit(0 if report.holds else 1)
