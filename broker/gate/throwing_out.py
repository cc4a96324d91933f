"""Throws a contributor out at the operator's word; see `broker.gate.guard` for who floods."""

from functools import partial
from pathlib import Path

from broker.accounts.keyring import Keyring
from broker.accounts.resolver import push_account
from broker.accounts.roster import Contributor, Roster
from broker.gate.revoking import revoke
from broker.gate.service import open_system
from schemas.errors import BrokerError, UserError
from schemas.settings import Connection


async def throw_out(
    connection: Connection, keyring: Keyring, roster: Roster, name: str, why: str
) -> Contributor:
    """Cut his connections and let him in no more. What he has published is judged as ever.

    Raises:
        UserError: nobody of that name was invited, or the server does not do it.
    """
    name = roster.find(name).name
    async with open_system(connection.nats, Path(connection.accounts)) as system:
        # First the list, or the gate lets him in again when he asks meanwhile.
        contributor = roster.revoke(name, why or "revoked")
        try:
            await revoke(keyring, partial(push_account, system), contributor)
        except BrokerError as error:
            raise UserError(
                f"{name} is noted as revoked, and not out yet: {error}; say it again, or let "
                "`broker gate` do it"
            ) from None
    return contributor
