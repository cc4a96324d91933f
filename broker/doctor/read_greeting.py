"""Reads what a server says to every client, and to every user of its JetStream."""

import contextlib
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from broker.doctor.facts import Clock, Greeting, StreamFacts
from broker.jetstream import api
from broker.jetstream.connection import NatsConnection
from schemas.errors import BrokerError

_TIMEOUT_S: Final = 3.0
_UNKNOWN_FIELD: Final = 10025
"""JetStream's error for it."""


class _Server(Struct, frozen=True):
    time: datetime


class _Limits(Struct, frozen=True):
    max_storage: int = -1


class _Account(Struct, frozen=True):
    limits: _Limits = _Limits()
    storage: int = 0


class _UserInfo(Struct, frozen=True):
    server: _Server


class _ApiError(Struct, frozen=True):
    err_code: int = 0


class _ApiReply(Struct, frozen=True):
    error: _ApiError | None = None


async def read_greeting(connection: NatsConnection, stream: str = "") -> Greeting:
    """What the server says to every client.

    A process of a run may ask about its own streams alone: one of these is to be named then, and
    the clock is for `read_streams` to read.
    """
    server = connection.link.server
    account = await _account(connection) if not stream else _Account()
    return Greeting(
        name=server.name,
        version=server.version,
        max_message_bytes=connection.link.max_message_bytes,
        clock=None if stream else await _clock(connection),
        max_storage=account.limits.max_storage,
        storage=account.storage,
        strict=await _strict(connection, stream),
    )


async def _clock(connection: NatsConnection) -> Clock | None:
    asked = time.time()
    try:
        answer = await connection.request("$SYS.REQ.USER.INFO", b"", timeout_s=_TIMEOUT_S)
    except BrokerError:
        return None
    told = msgspec.json.decode(answer.data, type=_UserInfo).server.time
    return clock_between(asked, told.timestamp(), time.time())


def clock_between(asked: float, told: float, answered: float) -> Clock:
    """A clock that was read somewhere between two moments of ours.

    >>> clock_between(10.0, 15.5, 11.0)
    Clock(ahead_s=5.0, error_s=0.5)
    """
    return Clock(ahead_s=told - (asked + answered) / 2, error_s=(answered - asked) / 2)


def with_clock(greeting: Greeting, streams: Iterable[StreamFacts]) -> Greeting:
    """The greeting, with the clock that a stream's leader tells where the server has not."""
    clock = greeting.clock or next((each.clock for each in streams), None)
    return replace(greeting, clock=clock)


async def _account(connection: NatsConnection) -> _Account:
    with contextlib.suppress(BrokerError):
        return await api.call(connection, "INFO", None, _Account, _TIMEOUT_S)
    return _Account()


async def _strict(connection: NatsConnection, stream: str) -> bool | None:
    """Ask for what changes nothing, with a field that no server knows."""
    verb = f"STREAM.INFO.{stream}" if stream else "STREAM.NAMES"
    try:
        answer = await connection.request(
            f"$JS.API.{verb}", b'{"offset": 0, "tributary": 0}', timeout_s=_TIMEOUT_S
        )
    except BrokerError:
        return None
    error = msgspec.json.decode(answer.data, type=_ApiReply).error
    if error is None:
        return False
    return True if error.err_code == _UNKNOWN_FIELD else None
