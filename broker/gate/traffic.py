"""Reads from the servers themselves what each account has sent."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from broker.gate.counts import Counts
from broker.gate.meter import Traffic
from broker.jetstream.connection import NatsConnection

_ANSWER_S: Final = 2.0
_OTHERS_S: Final = 0.02
"""How long the other servers of a cluster are waited for when one has answered."""
_CONNECTS: Final = "$SYS.ACCOUNT.*.CONNECT"


class _Part(Struct, frozen=True):
    msgs: int = 0
    bytes: int = 0


class _Received(Struct):
    msgs: int = 0
    bytes: int = 0
    routes: _Part = _Part()
    gateways: _Part = _Part()


class _Account(Struct):
    acc: str
    received: _Received


class _Accounts(Struct):
    account_statz: tuple[_Account, ...] | None = None


class _Server(Struct):
    id: str


class _Answer(Struct):
    server: _Server
    data: _Accounts | None = None


class _Request(Struct):
    accounts: Sequence[str]
    include_unused: bool = True
    """Without it, a server that knows none of them does not answer at all."""


class TrafficReader:
    """Asks over a connection of the system account."""

    def __init__(self, system: NatsConnection) -> None:
        self._system = system
        self._counts = Counts()
        self._num_connects: Counter[str] = Counter()

    async def begin(self) -> None:
        """Hear of new connections from now on. Raises BrokerUnavailable, PermissionDenied."""
        await self._system.link.subscribe(_CONNECTS, take=self._on_connect)

    async def read(self, accounts: Sequence[str]) -> dict[str, Traffic]:
        """What each of the accounts has sent since the first call.

        Raises:
            BrokerUnavailable: no server answers.
        """
        question = msgspec.json.encode(_Request(accounts=accounts))
        async with self._system.ask(
            "$SYS.REQ.ACCOUNT.PING.STATZ", question, timeout_s=_ANSWER_S
        ) as inbox:
            answer = await inbox.next()
            await asyncio.sleep(_OTHERS_S)
            while answer is not None:
                said = msgspec.json.decode(answer.data, type=_Answer)
                self._counts.enter(said.server.id, _sent_by_account(said))
                answer = inbox.next_nowait()
        return {
            account: replace(self._counts.of(account), num_connects=self._num_connects[account])
            for account in accounts
        }

    def _on_connect(self, subject: str, reply_to: str, data: bytes) -> None:
        self._num_connects[subject.split(".")[2]] += 1


def _sent_by_account(answer: _Answer) -> dict[str, Traffic]:
    accounts = (answer.data and answer.data.account_statz) or ()
    return {account.acc: _sent(account.received) for account in accounts}


def _sent(received: _Received) -> Traffic:
    """What clients and leaf nodes sent to this server; other servers count what came over them."""
    others = (received.routes, received.gateways)
    return Traffic(
        num_messages=received.msgs - sum(part.msgs for part in others),
        num_bytes=received.bytes - sum(part.bytes for part in others),
    )
