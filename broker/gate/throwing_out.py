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
        UserError: nobody of that name was invited, or the server does not do it now.
    """
    # First the list: the gate lets him in no more, and tells the server if this process cannot.
    contributor = roster.revoke(roster.find(name).name, why or "revoked")
    try:
        async with open_system(connection.nats, Path(connection.accounts)) as system:
            await revoke(keyring, partial(push_account, system), contributor)
    except (BrokerError, UserError) as error:
        raise UserError(
            f"{contributor.name} is noted as revoked, and not out yet: {error}; `broker gate` "
            "throws him out as soon as it reaches the server, or say it again then"
        ) from None
    return contributor
