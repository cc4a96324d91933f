"""One server in operator mode for all of these tests, and a run on it that is under attack."""

import asyncio

import pytest

from tests.support.guarded import Guarded
from tests.support.siege import Siege


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("guarded"))
    asyncio.run(server.make_streams())
    yield server
    server.stop()


@pytest.fixture
async def siege(guarded):
    mallory, bob = await guarded.contributor(name="mallory"), await guarded.contributor(name="bob")
    async with Siege(guarded, mallory, bob).opened() as siege:
        yield siege
