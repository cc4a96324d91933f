"""`actor join`: makes a key on this machine, and has its public half let in.

consumes    an invitation
produces    a membership in the home
waits for   a run that cannot let anybody in for now; until the invitation ends
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from actors.identity import make_private
from actors.membership import Membership, check_not_joined, joining_key, save_membership
from broker import retry
from broker.accounts import jwt
from broker.accounts.credentials import Credentials
from broker.accounts.invitation import Invitation
from broker.accounts.nkey import Kind, Nkey
from broker.jetstream import NatsBroker
from broker.program.private_file import write_private
from schemas import names, wire
from schemas.errors import BrokerError, NoResponders, NotLetIn, Rejected, ServerMissing, UserError
from schemas.join import JoinReply, JoinRequest

_TIMEOUT_S: Final = 10.0
_NOT_TAKEN: Final = (
    "not joined: the run's server does not take this invitation, which has expired, or was changed "
    "on its way: ask the run's operator for another one"
)

_log = structlog.get_logger(__name__)


async def join(invitation: Invitation, home: Path) -> Membership:
    """Join the run of an invitation, and keep what is needed for it in the home.

    A run that cannot let anybody in for now is asked again until the invitation ends. It may be
    called again when it did not come to its end: the same key asks again.

    Raises:
        UserError: the machine has joined already, the invitation is not good (any more), the run
            cannot be reached, or whoever answers is not the run.
    """
    check_not_joined(home, invitation.run)
    invitation.check_time()
    key = _key(home, invitation.run)
    reply = await _ask_until_settled(invitation, key)
    if reply.card is None or not reply.token:
        raise UserError(f"not joined: {reply.refusal or 'no reason given'}")
    if reply.card.run_key != invitation.run_key or reply.card.run != invitation.run:
        raise UserError("not joined: who answered is not the run that the invitation is from")
    membership = Membership(
        card=replace(reply.card, nats=invitation.nats, tls_ca=invitation.tls_ca),
        actor=_account(reply.token),
        credentials=_credentials(reply.token, key),
    )
    save_membership(home, membership)
    joining_key(home, invitation.run).unlink(missing_ok=True)
    return membership


async def _ask_until_settled(invitation: Invitation, key: Nkey) -> JoinReply:
    """An answer that stands, after growing pauses.

    Raises:
        UserError: the invitation has ended meanwhile; and what `_ask` raises.
    """
    attempt = 0
    while (reply := await _ask(invitation, key)).for_now:
        attempt += 1
        if attempt == 1:
            _log.warning(
                "not let in yet: asking again until the invitation ends; Ctrl-C ends it sooner, "
                "and the same link goes on later",
                why=reply.refusal,
            )
        await asyncio.sleep(retry.full_jitter_s(attempt))
        invitation.check_time()
    return reply


async def _ask(invitation: Invitation, key: Nkey) -> JoinReply:
    broker = await _enter(invitation)
    request = wire.encode(JoinRequest(ticket=invitation.ticket, user=key.public))
    try:
        answer = await broker.request(
            names.join_subject(invitation.run), request, timeout_s=_TIMEOUT_S
        )
        return wire.decode(answer, JoinReply)
    except NoResponders:
        raise UserError(
            "not joined: the run's gate is closed at the moment; try again later, or ask its "
            "operator to run `broker gate`"
        ) from None
    except NotLetIn:  # It has ended since we are connected.
        raise UserError(_NOT_TAKEN) from None
    except (BrokerError, Rejected) as error:
        raise UserError(f"not joined: {error}") from None
    finally:
        await broker.close()


async def _enter(invitation: Invitation) -> NatsBroker:
    """Connect as a guest. Raises UserError."""
    try:
        return await NatsBroker.connect(
            invitation.nats,
            name="actor join",
            connect_timeout_s=_TIMEOUT_S,
            credentials=invitation.guest_credentials(),
            tls_ca=invitation.tls_ca,
        )
    except ServerMissing as error:
        if error.refuses:
            raise UserError(_NOT_TAKEN) from None
        raise UserError(
            f"not joined: {error}; try again later with the same link, or ask the run's operator"
        ) from None


def _key(home: Path, run: str) -> Nkey:
    """The key that asks to be let in: kept until it is, because an answer may be lost."""
    path = joining_key(home, run)
    if not path.exists():
        make_private(path.parent)
        write_private(path, Nkey.generate(Kind.USER).seed + b"\n")
    return Nkey.load(path, Kind.USER)


def _account(token: str) -> str:
    try:
        return jwt.read_user(token).issuer_account
    except (ValueError, msgspec.MsgspecError) as error:
        raise UserError(f"not joined: the answer holds no token: {error}") from None


def _credentials(token: str, key: Nkey) -> Credentials:
    try:
        return Credentials(token=token, seed=key.seed)
    except ValueError as error:
        raise UserError(f"not joined: {error}") from None
