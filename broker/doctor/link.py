"""A connection for a few questions."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from broker.jetstream.connection import NatsConnection
from schemas.settings import Connection

_TIMEOUT_S: Final = 3.0


@contextlib.asynccontextmanager
async def open_link(connection: Connection, *, name: str) -> AsyncIterator[NatsConnection]:
    """Connect, and close.

    Raises:
        ServerMissing: no server lets us in.
    """
    link = NatsConnection()
    await link.connect(connection.nats, name=name, timeout_s=_TIMEOUT_S)
    try:
        yield link
    finally:
        await link.link.close()
