"""`broker lag`, `refused` and `tail`: how work flows through a run, and what stops it."""

from broker.addresses import SERVERS_DIRECTORY
from broker.interface import Broker
from broker.program.command import Servers
from broker.verbs.looking import Where, logs_of, look
from broker.verbs.options import Json, Nats, Run, SettingsFile, Watch


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
