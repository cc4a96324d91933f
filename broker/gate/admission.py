"""Answers who was invited: signs his key's user, tells the server of his account, and notes it."""

import time
from typing import Final

import structlog
from msgspec.structs import replace

from broker.accounts import rights
from broker.accounts.account import contributor_account
from broker.accounts.keyring import Keyring
from broker.accounts.roster import Contributor, Roster
from broker.gate.revoking import PushAccount, revoke
from broker.interface import Broker
from schemas import names, wire
from schemas.errors import BrokerError, Rejected, UserError
from schemas.join import JoinReply, JoinRequest
from schemas.run_card import RunCard

MAX_REQUEST_BYTES: Final = 1024
_TAKEN_BACK: Final = "this invitation was taken back"

_log = structlog.get_logger(__name__)


class NotGood(UserError):
    """An invitation lets nobody in; the sentence is for who holds it, who is a stranger."""


class Admission:
    """Lets contributors of one run in."""

    def __init__(
        self, card: RunCard, keyring: Keyring, roster: Roster, push_account: PushAccount
    ) -> None:
        """`card` is what a contributor of the run is given."""
        self._card = card
        self._keyring = keyring
        self._roster = roster
        self._push_account = push_account

    async def serve(self, broker: Broker) -> None:
        """Answer from now on, until the connection closes."""
        await broker.serve(names.join_subject(self._card.run), self.answer)

    async def let_in_all(self) -> None:
        """Make the server know all who have joined: it may be another one than they joined at,
        after a restore, or one that has lost its disk."""
        for one in self._roster.readable():
            if one.run == self._card.run and one.joined and not one.revoked:
                try:
                    await self.let_in(one)
                except (BrokerError, UserError) as error:
                    _log.warning("the server may not know him", name=one.name, why=str(error))

    async def answer(self, subject: str, data: bytes) -> bytes:
        """The reply to one request."""
        return wire.encode(await self._answer(data))

    async def _answer(self, data: bytes) -> JoinReply:
        try:
            request = wire.decode(data, JoinRequest, max_wire_bytes=MAX_REQUEST_BYTES)
            invited = self._roster.of_ticket(request.ticket)
            if invited is None or invited.run != self._card.run:
                return JoinReply(refusal="this run knows no such invitation")
            joined = self._roster.change(invited.name, lambda one: _join(one, request.user))
            await self.let_in(joined)
        except (Rejected, NotGood) as error:
            return JoinReply(refusal=str(error)[:500])
        except (BrokerError, OSError, UserError) as error:
            # It may name files of the operator's, or other contributors.
            _log.warning("not let in for now", why=str(error))
            return JoinReply(refusal="the run cannot let anybody in for now", for_now=True)
        _log.info("joined", name=joined.name, actor=joined.actor, shard=joined.shard)
        return JoinReply(token=self._user_token(joined), card=self._card)

    async def let_in(self, contributor: Contributor) -> None:
        """Make the server know the account; it may know it already.

        Raises:
            NotGood: he was thrown out meanwhile.
            UserError: his file cannot be read any more.
            BrokerError
        """
        keyring, actor = self._keyring, contributor.actor
        about = contributor_account(keyring.signer, keyring.accounts.core, actor)
        await self._push_account(keyring.account_token(actor, about, contributor.name))
        if self._roster.find(contributor.name).revoked:
            # The word that he is out may have come to the server before this one.
            await revoke(keyring, self._push_account, contributor)
            raise NotGood(_TAKEN_BACK)

    def _user_token(self, contributor: Contributor) -> str:
        may = rights.contributor(contributor.run, contributor.shard, contributor.actor)
        return self._keyring.user_token(
            contributor.actor, contributor.user, may, name=contributor.name
        )


def _join(one: Contributor, user: str) -> Contributor:
    """Raises NotGood when the invitation is not good for this key, or not any more."""
    if one.revoked:
        raise NotGood(_TAKEN_BACK)
    if one.user == user:
        return one  # He asks again: the answer was lost.
    if one.user:
        raise NotGood("this invitation was used already, with another key")
    if time.time() > one.expires:
        raise NotGood("this invitation has expired: ask the run's operator for another one")
    return replace(one, user=user, joined=time.time())
