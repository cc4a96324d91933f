"""Throws out who floods: within a look, for good, with what he has left in the queue removed.

The roster is told first, then the servers, then the coordinator. Whoever ends this process in
between, the next one goes on from the roster; and what a coordinator takes its time for keeps the
guard from no look.

consumes   what each account has sent, from the servers
produces   revoked accounts, and words to the coordinator about whose messages are to go
waits for  the next look
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from broker.accounts.keyring import Keyring
from broker.accounts.roster import Contributor, Roster
from broker.gate.meter import Meter
from broker.gate.revoking import PushAccount, revoke
from broker.gate.traffic import TrafficReader
from schemas.errors import BrokerError, NotLetIn, UserError

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
        self._out: set[str] = set()
        """Of those who were thrown out, whom the servers know of from this process."""
        self._cut_one = asyncio.Event()
        self._damaged: set[str] = set()
        """Sentences about files that were logged already."""

    async def watch(self) -> None:
        """Look, for ever.

        Raises:
            NotLetIn: the servers do not let the gate in any more.
        """
        while True:
            try:
                await self.look()
            except NotLetIn:
                raise
            except (BrokerError, OSError) as error:
                _log.warning("cannot look", why=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once.

        Raises:
            BrokerError: what was sent cannot be read.
            NotLetIn: the servers do not let the gate in any more.
        """
        there = {one.actor: one for one in self._of_run() if one.joined and not one.revoked}
        if not there:
            return
        traffic = await self._traffic.read(list(there))
        over = self._meter.look(time.monotonic(), traffic)
        # At once: a server that is slow about one of them keeps no other in.
        await asyncio.gather(*(self._cut(there[actor], why) for actor, why in over.items()))

    async def clean_up(self) -> None:
        """Keep out who was thrown out, and have removed what he left behind, for ever."""
        while True:
            self._cut_one.clear()
            try:
                of_run = self._of_run()
            except OSError as error:
                of_run = ()
                _log.warning("cannot read the contributors", why=str(error))
            for one in of_run:
                if one.revoked and (one.to_purge or one.actor not in self._out):
                    await self._clean_up_after(one)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PURGE_AGAIN_S):
                    await self._cut_one.wait()

    async def _cut(self, contributor: Contributor, why: str) -> None:
        try:
            self._roster.revoke(contributor.name, why, to_purge=True)
        except (OSError, UserError) as error:
            # A flood may have filled the disk, or damaged his file. He is out all the same.
            _log.error("cannot be noted", name=contributor.name, why=str(error))
        try:
            await revoke(self._keyring, self._push_account, contributor)
        except NotLetIn:
            raise
        except BrokerError as error:
            # `clean_up` tries again.
            _log.error("not out yet", name=contributor.name, why=str(error))
            return
        finally:
            self._cut_one.set()
        _log.warning("cut off", name=contributor.name, actor=contributor.actor, why=why)

    async def _clean_up_after(self, contributor: Contributor) -> None:
        """The server first: what it takes in the meantime has to be removed again."""
        try:
            await revoke(self._keyring, self._push_account, contributor)
            self._out.add(contributor.actor)
            if not contributor.to_purge:
                return
            num_messages = await self._purge(contributor)
            self._roster.change(contributor.name, lambda one: replace(one, to_purge=False))
        except (BrokerError, OSError, UserError) as error:
            # `clean_up` tries again.
            _log.warning("not purged yet", name=contributor.name, why=str(error))
            return
        _log.info("purged", name=contributor.name, messages=num_messages)

    def _of_run(self) -> Sequence[Contributor]:
        """Those whose files can be read: a damaged one is logged, and the others are served."""
        of_run = [one for one in self._roster.readable() if one.run == self._run]
        for sentence in {str(error) for error in self._roster.damaged} - self._damaged:
            _log.error("passed over", why=sentence)
        self._damaged = {str(error) for error in self._roster.damaged}
        return of_run
