"""Processes that are started, killed and asked what they said last."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from learner import child as children
from learner import child_process, launch
from learner.child import Child
from schemas.settings import LearnerSettings


def child(tmp_path, program: str, said: list[str]) -> Child:
    """A child that runs a line of Python instead of a verb."""
    one = Child("trainer", tmp_path / "settings.toml", tmp_path, (), said.append)
    one._command = [sys.executable, "-c", program]
    return one


async def test_its_last_words_are_its_own(tmp_path):
    log = tmp_path / "trainer.log"
    log.write_text("said by somebody before\n")
    quiet = child(tmp_path, "raise SystemExit(3)", [])
    assert await quiet.keep_running(asyncio.Event()) == 3
    assert "it said nothing" in quiet.last_words(3)
    loud = child(tmp_path, "print('the reason'); raise SystemExit(3)", [])
    assert await loud.keep_running(asyncio.Event()) == 3
    assert "the trainer failed: the reason" in loud.last_words(3)


async def test_who_is_killed_too_often_is_said_to_be(tmp_path):
    program = "import os, signal; print('all is well', flush=True); os.kill(os.getpid(), 9)"
    killed = child(tmp_path, program, [])
    status = await killed.keep_running(asyncio.Event())
    assert status == -signal.SIGKILL
    words = killed.last_words(status)
    assert words.startswith("the trainer was ended by SIGKILL 5 times within 60 s: is the machine")
    assert "all is well" not in words


async def test_a_child_that_is_killed_is_started_again_and_said_to_be(tmp_path):
    said: list[str] = []
    once = tmp_path / "once"
    program = (
        f"import os, pathlib, signal\nonce = pathlib.Path({str(once)!r})\n"
        "if not once.exists():\n    once.touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert await child(tmp_path, program, said).keep_running(asyncio.Event()) == 0
    assert said == ["the trainer was ended by SIGKILL, and is started again"]


async def test_a_child_that_is_killed_again_and_again_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "_MAX_KILLS", 2)
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    said: list[str] = []
    assert await child(tmp_path, program, said).keep_running(asyncio.Event()) == -9
    assert len(said) == 1


async def test_a_child_that_is_told_to_end_before_it_listens_ends_well(tmp_path):
    stop = asyncio.Event()
    stop.set()
    assert await child(tmp_path, "import time; time.sleep(60)", []).keep_running(stop) == 0


@pytest.mark.parametrize(("status", "shown"), [(0, 0), (2, 2), (-9, 137)])
def test_a_death_by_a_signal_is_shown_as_a_shell_shows_it(status, shown):
    assert launch._exit_status(status) == shown


@pytest.fixture
async def signals():
    """Sends signals to this process, whose handlers are as before afterwards."""
    yield lambda: os.kill(os.getpid(), signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_the_first_signal_says_what_is_waited_for(signals, monkeypatch):
    said: asyncio.Queue[str] = asyncio.Queue()

    async def until_stopped(_settings, stop: asyncio.Event) -> int:
        await stop.wait()
        return 0

    monkeypatch.setattr(launch, "_open", until_stopped)
    settings = LearnerSettings(name="demo")
    running = asyncio.create_task(launch._launch(settings, take_over=False, say=said.put_nowait))
    await asyncio.sleep(0)
    signals()
    assert "waits for the trainer to end its step" in await said.get()
    assert (await running).exit_status == 0


async def test_a_child_that_ends_slowly_is_killed_when_nobody_waits_any_more(tmp_path):
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('ends slowly', flush=True))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    log, stop = tmp_path / "log", asyncio.Event()
    process = await child_process.start([sys.executable, "-c", program], log)
    running = asyncio.create_task(children.run_until(process, stop))
    await until_it_says(log, "ready")
    stop.set()
    await until_it_says(log, "ends slowly")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert process.returncode == -signal.SIGKILL


async def test_who_is_killed_is_waited_for_whatever_happens():
    process = await child_process.start([sys.executable, "-c", "import time; time.sleep(60)"], None)
    killing = asyncio.create_task(child_process.kill(process))
    for _ in range(2):
        await asyncio.sleep(0)
        killing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killing
    assert process.returncode == -signal.SIGKILL


async def until_it_says(log: Path, word: str) -> None:
    # A file has no event that can be waited for.
    while not says(log, word):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def says(log: Path, word: str) -> bool:
    return log.exists() and word in log.read_text()
