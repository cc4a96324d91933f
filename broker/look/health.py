"""Do the two servers answer?"""

import asyncio

from msgspec import Struct

from broker.jetstream import NatsBroker
from broker.objects.s3 import S3Store
from schemas.errors import BrokerError, ServerMissing, StoreError
from schemas.settings import Connection

_CONNECT_TIMEOUT_S = 3.0
_ANY_KEY = "is-anybody-there"


class ServerHealth(Struct, frozen=True, kw_only=True):
    """One server."""

    server: str
    url: str
    answers: bool
    detail: str = ""
    """Why it does not."""


class Health(Struct, frozen=True, kw_only=True):
    """What `broker status --json` prints."""

    healthy: bool
    servers: tuple[ServerHealth, ...]


async def check_health(connection: Connection) -> Health:
    """Ask both servers something that changes nothing.

    Raises:
        UserError: the credentials file of the object storage cannot be used.
    """
    servers = await asyncio.gather(_check_nats(connection.nats), _check_s3(connection))
    return Health(healthy=all(server.answers for server in servers), servers=tuple(servers))


async def check_nats_alone(url: str) -> Health:
    """Ask a NATS server whose object storage is somewhere else, or nowhere."""
    server = await _check_nats(url)
    return Health(healthy=server.answers, servers=(server,))


async def require_health(connection: Connection) -> None:
    """Raises ServerMissing when a server does not answer: before long work, not after it."""
    for server in (await check_health(connection)).servers:
        if not server.answers:
            raise ServerMissing(f"{server.server} at {server.url}: {server.detail}")


async def _check_nats(url: str) -> ServerHealth:
    detail = ""
    try:
        broker = await NatsBroker.connect(url, name="status", connect_timeout_s=_CONNECT_TIMEOUT_S)
        try:
            await broker.streams()
        finally:
            await broker.close()
    except (BrokerError, ServerMissing) as error:
        detail = str(error)
    return ServerHealth(server="NATS JetStream", url=url, answers=not detail, detail=detail)


async def _check_s3(connection: Connection) -> ServerHealth:
    store, detail = S3Store.open(connection), ""
    try:
        await store.head(_ANY_KEY)
    except StoreError as error:
        detail = str(error)
    finally:
        await store.close()
    url = connection.s3 or "AWS"
    return ServerHealth(server="object storage", url=url, answers=not detail, detail=detail)
