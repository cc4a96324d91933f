"""The hand-built run on a server of its own, with its archive."""

import itertools

import pytest
import structlog

from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from tests.support import hand_built


@pytest.fixture
async def server():
    # Three streams are made, then LOG begins.
    seconds = itertools.count(hand_built.START - 3)
    server = MemoryServer(wall_clock=lambda: next(seconds))
    await hand_built.fill(MemoryBroker(server))
    return server


@pytest.fixture
def broker(server):
    return MemoryBroker(server)


@pytest.fixture
async def store():
    """The archive that the run's rows name; of what was refused nothing is kept."""
    store = MemoryStore()
    for _, data in hand_built.MESSAGES:
        await Archive(store, hand_built.RUN).write([data], term=1)
    return store


@pytest.fixture
def default_logs():
    """Undoes what a command sets up for its whole process."""
    yield
    structlog.reset_defaults()
