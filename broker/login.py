"""Connects to NATS as who one is: with the credentials of a role, where the servers ask for any."""

from typing import Final

from broker.accounts.access import find_credentials
from broker.accounts.rights import Role
from broker.jetstream import NatsBroker
from schemas.settings import Connection

_TIMEOUT_S: Final = 5.0
OPERATOR: Final = (Role.ADMIN, Role.OBSERVER)
"""Who looks at a run: the operator, or whom he has given the credentials for it."""


async def login(
    connection: Connection,
    *roles: Role,
    run: str = "",
    name: str,
    connect_timeout_s: float = _TIMEOUT_S,
) -> NatsBroker:
    """Connect with the credentials of the first of these roles that `connection.accounts` holds.

    `name` is what the server's monitoring shows.

    Raises:
        ServerMissing: no server lets us in within the time given.
        UserError: there are no such credentials, or others can read them.
    """
    return await NatsBroker.connect(
        connection.nats,
        name=name,
        connect_timeout_s=connect_timeout_s,
        credentials=find_credentials(connection.accounts, *roles, run=run),
    )
