"""The shorter check before a coordinator begins, within what it may ask.

A server that is too old is refused. Everything else is logged, and the run goes on: a coordinator
that stays away because a disk is nearly full would not help.
"""

from pathlib import Path

import structlog

from broker.accounts.rights import Role
from broker.doctor.commands import Commands
from broker.doctor.finding import troubles
from broker.doctor.link import open_link
from broker.doctor.messages import check_payload
from broker.doctor.read_greeting import read_greeting, with_clock
from broker.doctor.read_streams import read_streams
from broker.doctor.run import check_run
from broker.doctor.server import check_servers
from broker.doctor.versions import refuse_old
from broker.streams import run_streams
from schemas.errors import BrokerError, ServerMissing
from schemas.names import log_stream
from schemas.settings import Connection, RunSettings


async def check_before_run(connection: Connection, settings: RunSettings, runs: Path) -> None:
    """Look at the server and the streams of a run, as its coordinator may, and log what is wrong.

    What cannot be asked is left: who waits for a server does so elsewhere.

    Raises:
        UserError: the server is too old.
    """
    log, name = structlog.get_logger(), settings.name
    specs = run_streams(settings, num_replicas=connection.num_replicas)
    try:
        async with open_link(connection, Role.COORDINATOR, run=name, name="coordinator") as link:
            greeting = await read_greeting(link, log_stream(name))
            refuse_old(greeting)
            streams = await read_streams(link, [spec.name for spec in specs])
    except (ServerMissing, BrokerError) as error:
        log.warning("doctor", found=f"unknown: {error}")
        return
    greeting = with_clock(greeting, streams.values())
    findings = [
        *check_servers(greeting, ()),
        check_payload(greeting, settings),
        *check_run(settings, streams, Commands(connection, runs)),
    ]
    for each in troubles(findings):
        log.warning("doctor", level=each.level, check=each.check, of=each.about, found=each.found)
