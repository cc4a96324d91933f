"""Asks the coordinator for work, and keeps asking the same until it is answered.

A request has an id, and the coordinator gives the same leases to the same request. So an answer
that was lost costs nothing: the same bytes are sent again. One request is under way at a time; it
is repeated while it waits, because a coordinator that is killed takes it along without a word.
"""

import asyncio
import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from actors.status import Status
from broker import retry
from broker.again import ask_again
from broker.interface import Broker
from schemas import wire
from schemas.errors import BrokerError, BrokerUnavailable, NoResponders, Rejected
from schemas.lease import (
    ANSWER_TIMEOUT_S,
    MAX_NAMED_LEASES,
    EngineProfile,
    LeaseReply,
    LeaseRequest,
)
from schemas.names import lease_subject
from schemas.policy import PolicyId

_TELL_TIMEOUT_S: Final = 2.0
_REPEAT_S: Final = 2.0
_MOST_ASKED: Final = 3
"""At most so many are under way: fewer than the broker lets in (`broker.turnstile`)."""


class LeaseClient:
    """One process's conversation with the coordinator."""

    def __init__(
        self,
        broker: Broker,
        *,
        run: str,
        actor: str,
        instance: str,
        profile: EngineProfile,
        spooled: Callable[[], Sequence[int]],
        status: Status,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """`spooled()` are leases of earlier instances whose groups will still be published, the
        latest last: what is not named is ended.

        A coordinator that holds a request longer than `answer_timeout_s` counts as away.
        """
        self._broker = broker
        self._run = run
        self._actor = actor
        self._instance = instance
        self._profile = profile
        self._spooled = spooled
        self._abandoned: set[int] = set()
        self._status = status
        self._answer_timeout_s = answer_timeout_s

    @property
    def owes_word(self) -> bool:
        """True when leases are given back and the coordinator does not know it yet."""
        return bool(self._abandoned)

    def give_back(self, lease_id: int) -> None:
        """Name a lease as abandoned in the next request."""
        self._abandoned.add(lease_id)
        self._status.changes.notify()

    async def ask(self, wanted: int, held: PolicyId | None) -> LeaseReply:
        """Ask for up to `wanted` leases; returns when there is an answer, however long it takes.

        Raises:
            PermissionDenied: this actor's key may not ask.
        """
        request = self._request(wanted, held)
        telling = asyncio.create_task(self._tell_if_more_is_given_back(request.abandoned))
        try:
            reply = await self._answer(wire.encode(request))
        finally:
            telling.cancel()
        self._abandoned.difference_update(request.abandoned)
        self._status.reply = reply
        self._note_away("")
        return reply

    async def _tell_if_more_is_given_back(self, told: Sequence[int]) -> None:
        """What is given back may be all that a question under way waits for."""
        await self._status.changes.until(lambda: not self._abandoned <= set(told))
        await self.tell()

    async def tell(self) -> bool:
        """Tell the coordinator once which leases are given back; True when it has heard.

        A question that it still holds is answered by this at once: one waits at a time.
        """
        request = self._request(0, None)
        try:
            await self._broker.request(
                lease_subject(self._run, self._actor),
                wire.encode(request),
                timeout_s=_TELL_TIMEOUT_S,
            )
        except BrokerError:
            return False
        self._abandoned.difference_update(request.abandoned)
        return True

    def _request(self, wanted: int, held: PolicyId | None) -> LeaseRequest:
        return LeaseRequest(
            run=self._run,
            actor=self._actor,
            request_id=uuid.uuid4().hex,
            instance=self._instance,
            wanted=wanted,
            held=held,
            profile=self._profile,
            spooled=tuple(self._spooled())[-MAX_NAMED_LEASES:],
            abandoned=tuple(sorted(self._abandoned))[-MAX_NAMED_LEASES:],
        )

    async def _answer(self, data: bytes) -> LeaseReply:
        subject = lease_subject(self._run, self._actor)
        for attempt in itertools.count(1):
            try:
                answer = await ask_again(
                    self._broker,
                    subject,
                    data,
                    every_s=_REPEAT_S,
                    most=_MOST_ASKED,
                    timeout_s=self._answer_timeout_s,
                )
                return wire.decode(answer, LeaseReply)
            except NoResponders:
                self._note_away(f"a coordinator: run {self._run} has none")
            except BrokerUnavailable:
                self._note_away("the coordinator: no answer in time")
            except Rejected as error:
                self._note_away(f"an answer that can be read: {error.detail}")
            await asyncio.sleep(retry.full_jitter_s(attempt))
        raise AssertionError("the count has no end")

    def _note_away(self, why: str) -> None:
        self._status.away = why
        self._status.changes.notify()
