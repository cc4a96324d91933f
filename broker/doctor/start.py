"""The shorter check before servers or a coordinator are used: what milliseconds can find out.

A server that is too old is refused. Everything else is told, and the process begins: a coordinator
that stays away because a disk is nearly full would not help.
"""

from pathlib import Path

import structlog
from msgspec.structs import replace

from broker.accounts.rights import Role
from broker.doctor.disk import check_disk
from broker.doctor.durability import check_sync
from broker.doctor.facts import Greeting
from broker.doctor.finding import Finding, Level
from broker.doctor.link import open_link
from broker.doctor.messages import check_payload
from broker.doctor.read_own import read_own
from broker.doctor.read_server import read_greeting
from broker.doctor.read_streams import read_streams
from broker.doctor.run import check_run, how_to_make
from broker.doctor.server import check_servers
from broker.doctor.versions import check_version
from broker.login import OPERATOR
from broker.streams import run_streams
from schemas.errors import BrokerError, ServerMissing, UserError
from schemas.names import log_stream
from schemas.settings import Connection, RunSettings


async def check_before_use(connection: Connection, directory: Path) -> list[Finding]:
    """What is wrong with the nats-servers at hand, which `broker up` may have started.

    What cannot be asked is left: who needs the server finds out.

    Raises:
        UserError: one is too old.
    """
    try:
        async with open_link(connection, *OPERATOR, name="broker") as link:
            greeting = await read_greeting(link)
    except UserError:
        return []
    _refuse_old(greeting)
    servers = await read_own(directory, connection.nats)
    return _troubles(
        [*check_servers(greeting, servers), *check_sync(servers, ()), *check_disk(servers, ())]
    )


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
            _refuse_old(greeting)
            streams = await read_streams(link, [spec.name for spec in specs])
    except (ServerMissing, BrokerError) as error:
        log.warning("doctor", found=f"unknown: {error}")
        return
    clock = greeting.clock or next((each.clock for each in streams.values()), None)
    again = how_to_make(name, runs)
    findings = [
        *check_servers(replace(greeting, clock=clock), ()),
        check_payload(greeting, settings),
        *check_run(settings, streams, num_replicas=connection.num_replicas, again=again),
    ]
    for each in _troubles(findings):
        log.warning("doctor", level=each.level, check=each.check, of=each.about, found=each.found)


def _refuse_old(greeting: Greeting) -> None:
    """Raises UserError when the server is too old."""
    version = check_version(greeting.name, greeting.version)
    if version.level is Level.CRITICAL:
        raise UserError(
            f"nats-server {version.about} is refused, it is {version.found}: {version.fix}"
        )


def _troubles(findings: list[Finding]) -> list[Finding]:
    """What is known to be wrong."""
    return [each for each in findings if each.known and each.level is not Level.OK]
