"""Processes that are started, killed and asked what they said last."""

import asyncio
import sys

import pytest

from learner import child as children
from learner import launch
from learner.child import Child


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
    assert "it said nothing" in quiet.last_words()
    loud = child(tmp_path, "print('the reason'); raise SystemExit(3)", [])
    assert await loud.keep_running(asyncio.Event()) == 3
    assert "the trainer failed: the reason" in loud.last_words()


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


@pytest.mark.parametrize(("status", "shown"), [(0, 0), (2, 2), (-9, 137)])
def test_a_death_by_a_signal_is_shown_as_a_shell_shows_it(status, shown):
    assert launch._exit_status(status) == shown
