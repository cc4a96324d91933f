"""Tells a running server about accounts: it takes what the operator has signed, and keeps it."""

import msgspec
from msgspec import Struct

from broker.jetstream.connection import NatsConnection
from schemas.errors import BrokerError, BrokerUnavailable, NoResponders

_TIMEOUT_S = 5.0


class _Outcome(Struct):
    code: int = 0
    message: str = ""
    description: str = ""


class _Answer(Struct):
    data: _Outcome | None = None
    error: _Outcome | None = None


async def push_account(system: NatsConnection, token: str) -> None:
    """Make an account, or change one that is there; of a cluster's servers the first answers.

    `system` is a connection of a user of the system account.

    Raises:
        BrokerUnavailable: the server is away, or keeps no accounts.
        BrokerError: it does not take the token; says why.
    """
    try:
        answer = await system.request(
            "$SYS.REQ.CLAIMS.UPDATE", token.encode(), timeout_s=_TIMEOUT_S
        )
    except NoResponders:
        raise BrokerUnavailable("the server takes no accounts; it has no full resolver") from None
    said = msgspec.json.decode(answer.data, type=_Answer)
    if said.data is None or said.data.code != 200:
        error = said.error or said.data or _Outcome(description="no reason given")
        raise BrokerError(f"the server refuses an account: {error.description or error.message}")
