"""Throws out who floods: within a look, for good, with what he has left in the queue removed.

consumes   what each account has sent, from the servers
produces   revoked accounts, and words to the coordinator about whose messages are to go
waits for  the next look
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from broker.accounts.account import revoked_account
from broker.accounts.keyring import Keyring
from broker.accounts.roster import Contributor, Roster
from broker.gate.admission import PushAccount
from broker.gate.meter import Meter
from broker.gate.traffic import TrafficReader
from schemas.errors import BrokerError

LOOK_EVERY_S: Final = 0.2
_PURGE_AGAIN_S: Final = 5.0

_log = structlog.get_logger(__name__)

Purge = Callable[[Contributor], Awaitable[int]]
"""Have all messages of a contributor removed, with a counted verdict each; returns how many."""


class Guard:
    """Watches the contributors of one run."""

    def __init__(
        self,
        run: str,
        keyring: Keyring,
        roster: Roster,
        push_account: PushAccount,
        traffic: TrafficReader,
        meter: Meter,
        purge: Purge,
    ) -> None:
        self._run = run
        self._keyring = keyring
        self._roster = roster
        self._push_account = push_account
        self._traffic = traffic
        self._meter = meter
        self._purge = purge

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self.look()
            except BrokerError as error:
                _log.warning("cannot look", why=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once.

        Raises:
            BrokerError
        """
        there = {one.actor: one for one in self._of_run() if one.joined and not one.revoked}
        if not there:
            return
        traffic = await self._traffic.read(list(there))
        for actor, why in self._meter.look(time.monotonic(), traffic).items():
            await self._cut(there[actor], why)

    async def clean_up(self) -> None:
        """Have removed what those left behind who were thrown out, for ever."""
        while True:
            for one in self._of_run():
                if one.to_purge:
                    await self._clean_up_after(one)
            await asyncio.sleep(_PURGE_AGAIN_S)

    async def _cut(self, contributor: Contributor, why: str) -> None:
        """The server first: what it takes in the meantime has to be removed again."""
        await revoke(self._keyring, self._push_account, contributor)
        revoked = self._roster.revoke(contributor.name, why, to_purge=True)
        _log.warning("cut off", name=revoked.name, actor=revoked.actor, why=why)
        await self._clean_up_after(revoked)

    async def _clean_up_after(self, contributor: Contributor) -> None:
        try:
            num_messages = await self._purge(contributor)
        except BrokerError as error:
            # `clean_up` tries again.
            _log.warning("not purged yet", name=contributor.name, why=str(error))
            return
        self._roster.change(contributor.name, lambda one: replace(one, to_purge=False))
        _log.info("purged", name=contributor.name, messages=num_messages)

    def _of_run(self) -> Sequence[Contributor]:
        return [one for one in self._roster.all() if one.run == self._run]


async def revoke(keyring: Keyring, push_account: PushAccount, contributor: Contributor) -> None:
    """Cut a contributor's connections, and let him in no more.

    Raises:
        BrokerError
    """
    about = revoked_account(keyring.signer, time.time())
    await push_account(keyring.account_token(contributor.actor, about, contributor.name))
