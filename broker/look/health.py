"""Do the two servers answer, and each node of a cluster?"""

import asyncio
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from broker.addresses import SERVERS_DIRECTORY, how_to_start
from broker.jetstream.url import each_url
from broker.login import OPERATOR, login
from broker.objects.s3 import S3Store
from broker.program.endpoint import shown, told
from schemas.errors import BrokerError, ServerMissing, StoreError, StoreUnavailable
from schemas.settings import Connection

_NATS, _S3 = "NATS JetStream", "object storage"
_CONNECT_TIMEOUT_S = 3.0
_ANY_KEY = "is-anybody-there"


class ServerHealth(Struct, frozen=True, kw_only=True):
    """One server, or one node of a cluster."""

    server: str
    url: str
    answers: bool
    detail: str = ""
    """Why it does not, in a sentence that names it."""


class Health(Struct, frozen=True, kw_only=True):
    """What `broker status --json` prints."""

    healthy: bool
    servers: tuple[ServerHealth, ...]


async def check_health(connection: Connection, directory: Path = SERVERS_DIRECTORY) -> Health:
    """Ask both servers, and every node of a cluster, something that changes nothing.

    `directory` is where they may have been started, for the advice to do so again.

    Raises:
        UserError: the credentials file of the object storage cannot be used.
    """
    nodes = (
        _check_nats(replace(connection, nats=url), directory) for url in each_url(connection.nats)
    )
    servers = await asyncio.gather(*nodes, _check_s3(connection, directory))
    return Health(healthy=all(server.answers for server in servers), servers=tuple(servers))


async def check_nats_alone(url: str) -> Health:
    """Ask a NATS server whose object storage is somewhere else, or nowhere."""
    server = await _check_nats(Connection(nats=url), SERVERS_DIRECTORY)
    return Health(healthy=server.answers, servers=(server,))


async def require_health(connection: Connection, directory: Path = SERVERS_DIRECTORY) -> None:
    """Raises ServerMissing when a server does not answer: before long work, not after it.

    A cluster answers when one of its nodes does.
    """
    both = (_check_nats(connection, directory), _check_s3(connection, directory))
    for server in await asyncio.gather(*both):
        if not server.answers:
            raise ServerMissing(server.detail)


async def _check_nats(connection: Connection, directory: Path) -> ServerHealth:
    url, detail = connection.nats, ""
    try:
        broker = await login(
            connection, *OPERATOR, name="status", connect_timeout_s=_CONNECT_TIMEOUT_S
        )
        try:
            await broker.streams()
        finally:
            await broker.close()
    except ServerMissing as error:
        detail = str(error) + (how_to_start(url, directory) if error.nobody_at else "")
    except BrokerError as error:
        detail = told(_NATS, url, error)
    return ServerHealth(server=_NATS, url=shown(url), answers=not detail, detail=detail)


async def _check_s3(connection: Connection, directory: Path) -> ServerHealth:
    store, url, detail = S3Store.open(connection), connection.s3 or "AWS", ""
    try:
        await store.head(_ANY_KEY)
    except StoreUnavailable as error:
        detail = told(_S3, url, error) + how_to_start(url, directory)
    except StoreError as error:
        detail = told(_S3, url, error)
    finally:
        await store.close()
    return ServerHealth(server=_S3, url=shown(url), answers=not detail, detail=detail)
