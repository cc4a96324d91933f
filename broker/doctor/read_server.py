"""Reads what servers say: to every client, and to their operator over one of two ways.

| way | asks | says |
|---|---|---|
| any connection | `$SYS.REQ.USER.INFO` | version, largest message, clock, strictness |
| system account | `$SYS.REQ.SERVER.PING` | how each syncs, where it stores, what failed |
| monitoring port | `/varz`, `/healthz` | the same, of one server |
"""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from broker.doctor.facts import Clock, Greeting, ServerFacts
from broker.jetstream.connection import NatsConnection
from broker.jetstream.inbox import status
from broker.policies.download import open_http
from broker.program.endpoint import on_this_machine, shown
from schemas.errors import BrokerError, BrokerUnavailable, PermissionDenied, UserError

_TIMEOUT_S: Final = 3.0
_OTHERS_S: Final = 1.0
"""So long the other servers of a cluster may take after the first has answered."""
_UNKNOWN_FIELD: Final = 10025
"""JetStream's error for it."""
_NOBODY: Final = 503

_NANO: Final = 1e9


class _JetStreamConfig(Struct, frozen=True):
    max_storage: int = 0
    store_dir: str = ""
    sync_interval: int = 0
    sync_always: bool = False


class _JetStreamStats(Struct, frozen=True):
    storage: int = 0


class _JetStream(Struct, frozen=True):
    config: _JetStreamConfig | None = None
    stats: _JetStreamStats | None = None


class _Cluster(Struct, frozen=True):
    urls: tuple[str, ...] = ()


class _Varz(Struct, frozen=True):
    server_name: str
    version: str
    now: datetime
    jetstream: _JetStream = _JetStream()
    cluster: _Cluster = _Cluster()


class _Trouble(Struct, frozen=True):
    error: str = ""


class _Healthz(Struct, frozen=True):
    error: str = ""
    errors: tuple[_Trouble, ...] = ()


class _Server(Struct, frozen=True):
    name: str
    time: datetime


class _FromVarz(Struct, frozen=True):
    server: _Server
    data: _Varz


class _FromHealthz(Struct, frozen=True):
    server: _Server
    data: _Healthz


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
    return Greeting(
        name=server.name,
        version=server.version,
        max_message_bytes=connection.link.max_message_bytes,
        clock=None if stream else await _clock(connection),
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


async def read_by_system_account(connection: NatsConnection, url: str) -> list[ServerFacts]:
    """Every server of the cluster, over a connection to `url` of a user of the system account.

    Empty when this user is none. A server that does not answer in time is not in it.

    Raises:
        BrokerUnavailable: no server answers.
    """
    here, asked = on_this_machine(url), time.time()
    servers: list[tuple[float, _FromVarz]] = []
    async for answered, data in _answers(connection, "VARZ", b""):
        servers.append((answered, msgspec.json.decode(data, type=_FromVarz)))
        if len(servers) >= max(1, len(servers[0][1].data.cluster.urls)):
            break
    health: dict[str, _Healthz] = {}
    if servers:
        async for _, data in _answers(connection, "HEALTHZ", b'{"details": true}'):
            reply = msgspec.json.decode(data, type=_FromHealthz)
            health[reply.server.name] = reply.data
            if len(health) >= len(servers):
                break
    return [
        _facts(
            reply.data,
            health.get(reply.server.name, _Healthz()),
            clock_between(asked, reply.server.time.timestamp(), answered),
            here=here,
        )
        for answered, reply in servers
    ]


async def _answers(
    connection: NatsConnection, what: str, data: bytes
) -> AsyncGenerator[tuple[float, bytes]]:
    """When each server answered, and what, until none has for a while.

    Raises:
        BrokerUnavailable: not one did.
    """
    subject, first = f"$SYS.REQ.SERVER.PING.{what}", True
    async with connection.ask(subject, data, timeout_s=_TIMEOUT_S) as inbox:
        while True:
            try:
                message = await inbox.next()
            except PermissionDenied:
                return
            except BrokerUnavailable:
                if first:
                    raise
                return
            if status(message) == _NOBODY:
                return
            yield time.time(), message.data
            first = False
            inbox.deadline = asyncio.get_running_loop().time() + _OTHERS_S


async def read_by_monitoring(url: str) -> ServerFacts:
    """The server whose `http_port` answers at a URL.

    Raises:
        UserError: none does.
    """
    asked = time.time()
    try:
        async with open_http() as http:
            answer = await http.get(f"{url.rstrip('/')}/varz", timeout=_TIMEOUT_S)
            answered = time.time()
            health = await http.get(f"{url.rstrip('/')}/healthz?details=true", timeout=_TIMEOUT_S)
        varz = msgspec.json.decode(answer.content, type=_Varz)
        healthz = msgspec.json.decode(health.content, type=_Healthz)
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = str(error) or type(error).__name__
        raise UserError(
            f"no nats-server tells about itself at {shown(url)} ({why}): give the URL of its "
            "`http_port`, as http://HOST:8222 is one"
        ) from None
    clock = clock_between(asked, varz.now.timestamp(), answered)
    return _facts(varz, healthz, clock, here=on_this_machine(url))


def _facts(varz: _Varz, health: _Healthz, clock: Clock, *, here: bool) -> ServerFacts:
    jetstream = varz.jetstream.config or _JetStreamConfig()
    stats = varz.jetstream.stats or _JetStreamStats()
    errors = [health.error, *(trouble.error for trouble in health.errors)]
    return ServerFacts(
        name=varz.server_name,
        version=varz.version,
        sync_always=jetstream.sync_always,
        sync_interval_s=jetstream.sync_interval / _NANO,
        store=jetstream.store_dir,
        max_storage=jetstream.max_storage,
        storage=stats.storage,
        write_errors=tuple(error for error in errors if "write error" in error),
        clock=clock,
        free_bytes=free_bytes(jetstream.store_dir) if here else None,
    )


def free_bytes(folder: str) -> int | None:
    """Free on the disk of a folder of this machine; None when it is not there, or not ours."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
