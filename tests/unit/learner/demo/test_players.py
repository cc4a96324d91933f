"""Processes that are started again when they are killed, and a folder that one demo holds."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from broker.embedded.cluster import Node
from broker.embedded.started import Servers
from broker.program.process import ProcessId, last_line
from learner.demo.folder import servers_folder, take_folder
from learner.demo.players import PlayerLost, Process, run_to_end
from learner.events import Died, EventLog, Killed, Started, read_events
from schemas.errors import UserError

PYTHON = (sys.executable, "-I", "-S", "-c")
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def make(tmp_path) -> Callable[[str], Process]:
    def make(program: str) -> Process:
        events = EventLog(tmp_path / "events.jsonl")
        return Process("one", [*PYTHON, program], tmp_path / "one.log", events)

    return make


def happened(tmp_path) -> list[type]:
    return [type(event) for event in read_events(tmp_path / "events.jsonl")]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does, which rings no bell here."""

    def look() -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    await asyncio.to_thread(look)


async def started(tmp_path: Path, times: int) -> None:
    log = tmp_path / "one.log"
    await until(lambda: log.exists() and log.read_text().count("up") >= times)


async def test_who_is_killed_is_started_again_and_can_be_stopped(make, tmp_path):
    process = make(SLEEP)
    running = asyncio.create_task(process.run())
    await started(tmp_path, 1)
    await process.kill(Killed(time=1.0, who="one", step=3, doing="generating"))
    await started(tmp_path, 2)
    await process.stop(grace_s=5)
    assert await asyncio.wait_for(running, 5) < 0
    assert happened(tmp_path) == [Started, Killed, Started]
    assert process.deaths == []


async def test_who_ends_well_has_ended(make, tmp_path):
    assert await make("print('done')").run() == 0
    assert happened(tmp_path) == [Started]


async def test_who_keeps_failing_is_lost_with_its_last_words(make, tmp_path):
    process = make("print('no disk'); raise SystemExit(7)")
    with pytest.raises(PlayerLost, match="one ended 3 times by itself: no disk"):
        await process.run()
    assert process.deaths == [7, 7, 7]
    assert happened(tmp_path) == [Started, Died] * 3


async def test_who_does_not_hear_is_killed_after_the_grace(make, tmp_path):
    process = make(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}")
    running = asyncio.create_task(process.run())
    await started(tmp_path, 1)
    await process.stop(grace_s=0.1)
    assert await asyncio.wait_for(running, 5) == -9


async def test_the_lines_of_a_command_are_seen_and_kept(tmp_path):
    log, seen = tmp_path / "x.log", []
    status = await run_to_end([*PYTHON, "print('a\\nb'); raise SystemExit(3)"], log, seen.append)
    assert (status, seen, last_line(log)) == (3, ["a", "b"], "b")


async def test_a_command_that_is_given_up_is_ended(tmp_path):
    seen: list[str] = []
    command = [*PYTHON, f"import os; print(os.getpid()); {SLEEP}"]
    waiting = asyncio.create_task(run_to_end(command, tmp_path / "x.log", seen.append))
    await until(lambda: len(seen) == 2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: not Path("/proc", seen[0]).exists())


def test_an_earlier_demo_is_cleaned_away(tmp_path):
    folder = tmp_path / "runs" / "demo"
    with take_folder(folder):
        (folder / "metrics.jsonl").write_text("old")
        (folder / "logs").mkdir()
        (folder / "elsewhere").symlink_to(tmp_path)
    (tmp_path / "kept").write_text("kept")
    with take_folder(folder):
        assert [entry.name for entry in folder.iterdir()] == ["demo.lock"]
    assert (tmp_path / "kept").exists()


def test_a_folder_has_one_demo_at_a_time(tmp_path):
    with (
        take_folder(tmp_path / "demo"),
        pytest.raises(UserError, match="a demo is running"),
    ):
        take_folder(tmp_path / "demo")


def test_what_servers_of_an_earlier_demo_store_is_left_alone(tmp_path):
    with take_folder(tmp_path / "demo"):
        pass
    directory = servers_folder(tmp_path / "demo")
    directory.mkdir()
    this = ProcessId(os.getpid(), int(Path("/proc/self/stat").read_text().split()[21]))
    servers = Servers(
        nodes=(Node(port=1, process=this),),
        s3_port=2,
        s3_credentials="",
        s3_process=ProcessId(1, 0),
    )
    (directory / "servers.json").write_bytes(msgspec.json.encode(servers))
    with pytest.raises(UserError, match=r"broker down --servers .*demo/servers"):
        take_folder(tmp_path / "demo")
    assert (directory / "servers.json").exists()


def test_a_run_that_is_no_demos_is_left_alone(tmp_path):
    (tmp_path / "run.key").write_text("precious")
    with pytest.raises(UserError, match="holds a run that is no demo's"):
        take_folder(tmp_path)
    assert (tmp_path / "run.key").read_text() == "precious"
