"""Keeps the actor in work.

    consumes    replies of the coordinator, by way of `LeaseClient`
    produces    leases to start on, announcements for `Policies`
    waits for   a free place among the `max_leases` in flight; then for the coordinator

A lease is in flight from the reply until its group is acknowledged by the broker, so a queue that
is full stops the actor from asking for more.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from actors.lease_client import LeaseClient
from actors.policies import Policies
from actors.spool import Spool
from actors.status import Status
from actors.terms import CannotFulfil, Terms
from actors.verdicts import Verdicts
from broker import retry
from environments.interface import Environment
from schemas.lease import MAX_LEASES_PER_REPLY, Lease, LeaseReply

_REFRESH_S: Final = 10.0
"""The longest silence towards the coordinator: repairs an announcement that was lost."""
_QUICK_ANSWER_S: Final = 1.0
"""An empty answer that comes sooner than this was not held back, and is not followed at once."""
_LAST_ANSWER_S: Final = 1.0
_MISFIT_PAUSE_S: Final = 60.0
"""After a lease that this machine cannot do, it asks for none for so long."""


class HeldLease(Struct, frozen=True, kw_only=True):
    """A lease that this actor has accepted."""

    lease: Lease
    environment: Environment
    expires: float | None
    """On the event loop's clock; None: not known."""


class Leases:
    """The leases in flight, and the loop that asks for more."""

    def __init__(
        self,
        *,
        client: LeaseClient,
        terms: Terms,
        policies: Policies,
        spool: Spool,
        verdicts: Verdicts,
        status: Status,
        max_leases: int,
    ) -> None:
        self._client = client
        self._terms = terms
        self._policies = policies
        self._spool = spool
        self._verdicts = verdicts
        self._status = status
        self._max_leases = max_leases
        self._held: dict[int, HeldLease] = {}
        self._barred_until = 0.0
        self._quick_answers = 0
        """Empty ones in a row."""
        self._closed = False

    async def keep(self, start: Callable[[HeldLease], None]) -> None:
        """Ask for work whenever there is a place for it, until `close`; `start` begins on one."""
        loop, changes = asyncio.get_running_loop(), self._status.changes
        while not self._closed:
            wanted, asked = self._wanted(), loop.time()
            reply = await self._client.ask(wanted, self._policies.served)
            if reply.announcement:
                self._policies.offer(reply.announcement)
            taken = [self._take(lease, reply, start) for lease in reply.leases]
            if any(taken):
                self._quick_answers = 0
            elif wanted and loop.time() - asked < _QUICK_ANSWER_S:
                self._quick_answers += 1
                pause_s = retry.full_jitter_s(self._quick_answers)
                await changes.until(lambda: self._closed, timeout_s=pause_s)
            await changes.until(
                lambda: self._closed or self._wanted() or self._client.owes_word,
                timeout_s=_REFRESH_S,
            )

    def done(self, lease_id: int) -> None:
        """Its group is published, or nobody waits for it any more."""
        self._held.pop(lease_id, None)
        self._status.changes.notify()

    def give_back(self, lease_id: int) -> None:
        """It will not be fulfilled, by this process or by the one before it that took it, and the
        coordinator is to know."""
        self._client.give_back(lease_id)
        self.done(lease_id)

    def close(self) -> None:
        """Begin on no lease any more: those that a question under way still brings go back."""
        self._closed = True
        self._status.changes.notify()

    async def farewell(self, asking: "asyncio.Task[None]") -> None:
        """Give back what is left, if the coordinator listens, and end the task of `keep`."""
        if self._client.owes_word or not asking.done():
            heard = await self._client.tell()
            await asyncio.wait([asking], timeout=_LAST_ANSWER_S if heard else 0)
        if self._client.owes_word:
            await self._client.tell()
        asking.cancel()

    def _wanted(self) -> int:
        """How many more leases there is room for.

        None while no policy is served or one in hand cannot start for want of a newer policy:
        whoever hoards leases keeps them from others.
        """
        barred = asyncio.get_running_loop().time() < self._barred_until
        served = self._policies.served
        if barred or self._spool.full or not served:
            return 0
        if not all(served.suffices(held.lease.least_policy) for held in self._held.values()):
            return 0
        in_flight = self._held.keys() | {spooled.lease_id for spooled in self._spool.groups()}
        return min(max(0, self._max_leases - len(in_flight)), MAX_LEASES_PER_REPLY)

    def _take(self, lease: Lease, reply: LeaseReply, start: Callable[[HeldLease], None]) -> bool:
        if lease.lease_id in self._held:
            return False
        if self._closed:
            self._client.give_back(lease.lease_id)
            return False
        now = asyncio.get_running_loop().time()
        try:
            environment = self._terms.environment(lease)
        except CannotFulfil as misfit:
            self._status.misfit = misfit.detail
            self._verdicts.count_loss(misfit.reason, misfit.detail)
            self._client.give_back(lease.lease_id)
            self._barred_until = now + _MISFIT_PAUSE_S
            return False
        self._status.misfit = ""
        expires = now + lease.deadline - reply.time if reply.time else None
        held = HeldLease(lease=lease, environment=environment, expires=expires)
        self._held[lease.lease_id] = held
        start(held)
        return True
