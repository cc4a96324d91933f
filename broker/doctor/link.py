"""A connection for a few questions, of a role where the servers ask for one."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from broker.accounts.access import find_credentials
from broker.accounts.rights import Role
from broker.jetstream.connection import NatsConnection
from schemas.settings import Connection

_TIMEOUT_S: Final = 3.0


@contextlib.asynccontextmanager
async def open_link(
    connection: Connection, *roles: Role, run: str = "", name: str
) -> AsyncIterator[NatsConnection]:
    """Connect as the first of the roles that there are credentials for, and close.

    Raises:
        ServerMissing: no server lets us in.
        UserError: there are no such credentials, or others can read them.
    """
    link = NatsConnection()
    credentials = find_credentials(connection.accounts, *roles, run=run)
    await link.connect(connection.nats, name=name, timeout_s=_TIMEOUT_S, credentials=credentials)
    try:
        yield link
    finally:
        await link.link.close()
