"""Reads what all servers of a cluster tell a user of their system account."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from broker.doctor.facts import ServerFacts
from broker.doctor.read_greeting import clock_between
from broker.doctor.varz import Healthz, Varz, server_facts
from broker.jetstream.connection import NatsConnection
from broker.jetstream.inbox import status
from broker.program.endpoint import on_this_machine
from schemas.errors import BrokerUnavailable, PermissionDenied

_TIMEOUT_S: Final = 3.0
_OTHERS_S: Final = 1.0
"""So long the other servers of a cluster may take after the first has answered."""
_NOBODY: Final = 503


class _Server(Struct, frozen=True):
    name: str
    time: datetime


class _FromVarz(Struct, frozen=True):
    server: _Server
    data: Varz


class _FromHealthz(Struct, frozen=True):
    server: _Server
    data: Healthz


async def read_by_system_account(connection: NatsConnection, url: str) -> list[ServerFacts]:
    """Every server of the cluster, over a connection to `url` of a user of the system account.

    Empty when this user is none. A server that does not answer in time, or has no JetStream, is not
    in it.

    Raises:
        BrokerUnavailable: no server answers.
    """
    here, asked = on_this_machine(url), time.time()
    servers: list[tuple[float, _FromVarz]] = []
    async for answered, data in _answers(connection, "VARZ", b""):
        servers.append((answered, msgspec.json.decode(data, type=_FromVarz)))
        if len(servers) >= max(1, len(servers[0][1].data.cluster.urls)):
            break
    health: dict[str, Healthz] = {}
    if servers:
        async for _, data in _answers(connection, "HEALTHZ", b'{"details": true}'):
            reply = msgspec.json.decode(data, type=_FromHealthz)
            health[reply.server.name] = reply.data
            if len(health) >= len(servers):
                break
    return [
        server_facts(
            reply.data,
            health.get(reply.server.name, Healthz()),
            clock_between(asked, reply.server.time.timestamp(), answered),
            here=here,
        )
        for answered, reply in servers
        if reply.data.jetstream.config
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
