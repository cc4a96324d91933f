"""The shorter check before nats-servers are used: what milliseconds can find out.

One that is too old is refused, everything else is told.
"""

from pathlib import Path

from broker.doctor.disk import check_disk
from broker.doctor.durability import check_sync
from broker.doctor.finding import Finding, troubles
from broker.doctor.link import open_link
from broker.doctor.read_greeting import read_greeting
from broker.doctor.read_own import read_own
from broker.doctor.server import check_servers
from broker.doctor.versions import refuse_old
from broker.login import OPERATOR
from schemas.errors import UserError
from schemas.settings import Connection


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
    refuse_old(greeting)
    servers = await read_own(directory, connection.nats)
    return troubles(
        [*check_servers(greeting, servers), *check_sync(servers, ()), *check_disk(servers, ())]
    )
