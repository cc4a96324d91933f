"""Ranks under torchrun: they end with it, and it says nothing of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.left_running import left_running

SOON_S = 10.0


@pytest.fixture
def agent(tmp_path) -> Iterator[subprocess.Popen[str]]:
    """It runs a module that knows nothing of it, whose command line names the folder."""
    command = [sys.executable, "-P", "-m", "learner.trainer.agent"]
    ranks = ["--num-ranks", "1", "--num-threads", "1", "http.server", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, *ranks, "--directory", str(tmp_path), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "Serving HTTP" in process.stdout.readline()
        yield process
        process.kill()


def test_it_ends_its_ranks_without_a_word(agent, tmp_path):
    agent.send_signal(signal.SIGTERM)
    assert agent.communicate(timeout=60) == ("", None)
    assert agent.returncode == 0
    assert not left_running(tmp_path)


def test_a_rank_that_knows_nothing_of_it_dies_with_it(agent, tmp_path):
    agent.kill()
    agent.wait()
    wait_until_gone(tmp_path)


def wait_until_gone(folder: Path) -> None:
    # The kernel kills, and tells nobody when it is done.
    end = time.monotonic() + SOON_S
    while left := left_running(folder):
        assert time.monotonic() < end, left
        time.sleep(0.05)
