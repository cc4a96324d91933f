"""`broker lag`, `refused` and `tail`: how work flows through a run, and what stops it."""

from typing import Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.interface import Broker
from broker.program.command import Servers
from broker.verbs.looking import Where, logs_of, look
from broker.verbs.options import Actor, Json, Nats, Run, SettingsFile, Watch, ask, named_file


def lag(
    run: Run = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Tell how stale what waits is, what is refused next, and who waits for whom."""
    from broker.look.lag import Lag, Listener, look_at_lag
    from broker.look.lag_view import show_lag

    logs, listeners = logs_of(run), dict[str, Listener]()

    async def measure(broker: Broker) -> Lag:
        known = await logs(broker)
        listener = listeners.setdefault(known.run, Listener(known.run))
        return await look_at_lag(broker, known, listener)

    look(Where(nats, settings, servers), measure, show_lag, json=json, watch=watch)


def refused(
    run: Run = "",
    actor: Actor = "",
    reason: Annotated[
        str, typer.Option(help="One reason: tokens, reward-mismatch, stale, late, ...")
    ] = "",
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Count what was refused by reason, actor and time, and name a kept sample of each."""
    from broker.look import refusals
    from broker.look.read_on import LogFold
    from broker.look.refusals_view import show_refused
    from broker.look.who import called_in
    from schemas import names

    asked, logs = Where(nats, settings, servers), logs_of(run)
    called = called_in(asked.connection().accounts) if actor else {}
    verdicts: dict[str, LogFold[refusals.Verdicts]] = {}

    async def count(broker: Broker) -> refusals.Refused:
        known = (await logs(broker)).run
        fold = verdicts.setdefault(known, LogFold(known, refusals.Verdicts))
        state = await broker.state(names.log_stream(known))
        found = await fold.up_to(broker, state)
        return refusals.refused(
            known, [*found], found.purges, actor=actor, reason=reason, called=called
        )

    look(asked, count, show_refused, json=json, watch=watch)


def tail(
    run: Run = "",
    last: Annotated[
        int, typer.Option(min=0, max=100_000, help="How many of what has happened before.")
    ] = 10,
    words: Annotated[
        bool,
        typer.Option("--words", help="Also heartbeats, and verdicts as actors are told of them."),
    ] = False,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Show what happens in a run as it happens, a line each, until Ctrl-C."""
    from broker.inventory import the_run
    from broker.look import tail
    from broker.look.tail_view import say, show_happening, show_happening_json

    async def follow(broker: Broker) -> None:
        await tail.tail(
            broker,
            await the_run(broker, run),
            last=last,
            words=words,
            show=show_happening_json if json else show_happening,
            say=say,
        )

    connection = find_connection(named_file(settings), nats=nats, directory=servers)
    ask(connection, follow, servers)
