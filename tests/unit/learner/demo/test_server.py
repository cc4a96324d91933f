"""A server that ends unasked is started again, and its end is not passed over in silence."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.program.process import ProcessId, spawn, stop
from learner.demo.players import PlayerLost
from learner.demo.server import Server
from learner.events import Died, EventLog, Killed, Started, read_events


class Sleepers:
    """Processes that serve nothing, one after the other."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.lives: list[ProcessId] = []
        self.started = asyncio.Queue[ProcessId]()

    async def start(self) -> None:
        command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
        self.lives.append(spawn(command, log=self._log, detached=True))
        self.started.put_nowait(self.lives[-1])

    def find(self) -> ProcessId:
        return self.lives[-1]


@pytest.fixture
async def sleepers(tmp_path):
    sleepers = Sleepers(tmp_path / "log")
    await sleepers.start()
    await sleepers.started.get()
    yield sleepers
    for process in sleepers.lives:
        stop(process, grace_s=0)


@pytest.fixture
def make(tmp_path, sleepers) -> Callable[[list[str]], Server]:
    def make(said: list[str]) -> Server:
        events = EventLog(tmp_path / "events.jsonl")
        return Server("nats-server", sleepers.find, sleepers.start, events, said.append)

    return make


def happened(tmp_path) -> list[type]:
    return [type(event) for event in read_events(tmp_path / "events.jsonl")]


async def test_a_server_that_vanishes_is_started_again_and_said_to_be(make, sleepers, tmp_path):
    said: list[str] = []
    server = make(said)
    running = asyncio.create_task(server.run())
    await asyncio.sleep(0)
    os.kill(sleepers.find().pid, signal.SIGTERM)
    async with asyncio.timeout(5):
        await sleepers.started.get()
    assert said == ["nats-server ended unasked (status -15), and is started again"]
    assert server.deaths == [-15]
    assert happened(tmp_path) == [Died, Started]
    running.cancel()


async def test_a_kill_by_plan_is_not_taken_for_one(make, sleepers, tmp_path):
    said: list[str] = []
    server = make(said)
    running = asyncio.create_task(server.run())
    await asyncio.sleep(0)
    await server.kill(Killed(time=1.0, who="nats-server", step=3, doing=""))
    stop(sleepers.lives[0], grace_s=0)
    await asyncio.sleep(0.05)
    assert happened(tmp_path) == [Killed, Started]
    assert (said, server.deaths, len(sleepers.lives)) == ([], [], 2)
    running.cancel()


async def test_a_server_that_vanishes_again_and_again_is_lost(make, sleepers):
    running = asyncio.create_task(make([]).run())
    await asyncio.sleep(0)
    for _ in range(2):
        os.kill(sleepers.find().pid, signal.SIGKILL)
        await sleepers.started.get()
        await asyncio.sleep(0)
    os.kill(sleepers.find().pid, signal.SIGKILL)
    with pytest.raises(PlayerLost, match="nats-server ended 3 times unasked"):
        async with asyncio.timeout(5):
            await running
