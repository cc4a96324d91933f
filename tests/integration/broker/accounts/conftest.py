"""One server in operator mode for all of these tests."""

import asyncio

import pytest

from tests.support.guarded import Guarded


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("guarded"))
    asyncio.run(server.make_streams())
    yield server
    server.stop()
