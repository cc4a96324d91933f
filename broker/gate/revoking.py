"""Has the servers throw an account out, or makes them know of one."""

import time
from typing import Protocol

from broker.accounts.account import revoked_account
from broker.accounts.keyring import Keyring
from broker.accounts.roster import Contributor


class PushAccount(Protocol):
    async def __call__(self, token: str) -> None:
        """Tell the server of an account. Raises BrokerError."""
        ...


async def revoke(keyring: Keyring, push_account: PushAccount, contributor: Contributor) -> None:
    """Cut a contributor's connections, and let him in no more.

    The roster has to say so before, or the gate lets him in again when he asks.

    Raises:
        BrokerError
    """
    about = revoked_account(keyring.signer, time.time())
    await push_account(keyring.account_token(contributor.actor, about, contributor.name))
