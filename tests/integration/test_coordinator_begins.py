"""A coordinator that begins while its servers come and go."""

import asyncio
import os
import signal

import pytest

from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.program.process import free_port
from broker.streams import run_streams
from learner.coordinator import service
from learner.coordinator.service import Coordinator
from schemas.errors import StoreUnavailable
from schemas.policy import PolicyId
from schemas.settings import Connection, LearnerSettings, RunSettings
from tests.support.coordinators import announce, make_opening

SETTINGS = RunSettings(name="begins")
AWAY_S = 0.02


class FailingServer(MemoryServer):
    """Goes away for a moment when it is called for the so-many-th time."""

    num_calls_left = -1

    def check_running(self):
        if self.num_calls_left == 0:
            self.stop()
            asyncio.get_running_loop().call_later(AWAY_S, self.start)
        self.num_calls_left -= 1
        super().check_running()


class NoWorkers:
    """Stands in for the judging processes, which take a second to start: nothing is judged here."""

    def __init__(self, setup):
        self.workers = []

    async def start(self):
        pass

    async def close(self):
        pass


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    monkeypatch.setattr(service, "WorkerPool", NoWorkers)


async def open_run() -> FailingServer:
    server = FailingServer()
    broker = MemoryBroker(server)
    for spec in run_streams(SETTINGS):
        await broker.ensure_stream(spec)
    await announce(broker, SETTINGS.name, PolicyId(1, 0), 0)
    return server


async def begin_and_stop(server: FailingServer) -> bool:
    """Whether the server went away before the coordinator was ready."""
    broker, stop = MemoryBroker(server), asyncio.Event()
    coordinator = Coordinator(broker, MemoryStore(), make_opening(SETTINGS))
    num_left: list[int] = []

    def be_ready() -> None:
        num_left.append(server.num_calls_left)
        stop.set()

    coordinator.ready.set = be_ready
    await coordinator.run(stop)
    await broker.close()
    return num_left[0] < 0


async def test_a_broker_that_goes_away_at_any_call_is_waited_for():
    num_calls, went_away = 0, True
    while went_away:
        server = await open_run()
        server.num_calls_left = num_calls
        went_away = await begin_and_stop(server)
        num_calls += 1
    assert num_calls > 5


async def test_it_can_be_stopped_while_the_broker_is_away():
    server = await open_run()
    server.stop()
    stop = asyncio.Event()
    coordinator = Coordinator(MemoryBroker(server), MemoryStore(), make_opening(SETTINGS))
    running = asyncio.create_task(coordinator.run(stop))
    await asyncio.sleep(AWAY_S)
    assert not running.done()
    stop.set()
    async with asyncio.timeout(5):
        await running


async def test_it_can_be_stopped_while_object_storage_is_away():
    server, store, stop = await open_run(), MemoryStore(), asyncio.Event()
    asked = asyncio.Event()

    async def away(prefix: str):
        asked.set()
        raise StoreUnavailable("away")

    store.list = away
    broker = MemoryBroker(server)
    running = asyncio.create_task(Coordinator(broker, store, make_opening(SETTINGS)).run(stop))
    await asked.wait()
    stop.set()
    async with asyncio.timeout(5):
        await running
    await broker.close()


async def test_it_can_be_stopped_before_its_first_connection():
    nowhere = f"nats://127.0.0.1:{free_port()}"
    settings = LearnerSettings(name=SETTINGS.name, connection=Connection(nats=nowhere))
    serving = asyncio.create_task(service.serve(settings, make_opening(SETTINGS), take_over=False))
    await asyncio.sleep(0.5)
    assert not serving.done()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await serving
