"""Every benchmark runs, at a tiny size, and gives rows that make sense; never how fast it was."""

from collections.abc import Sequence

import pytest

from benchmarks import actor, broker, demo_waiting, event_loop, intake, queue, swarm, trainer
from benchmarks.table import Figure

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Benchmarks keep their servers under `runs` in the current directory."""
    monkeypatch.chdir(tmp_path)


def check(figures: Sequence[Figure], num_rows: int) -> None:
    assert len({one.name for one in figures}) == num_rows
    for one in figures:
        assert 0 < one.low <= one.figure <= one.high
        assert one.how


def test_intake(monkeypatch):
    monkeypatch.setattr(intake, "_SIZES", {"tiny": (8, 20), "longer": (64, 4)})
    check(intake.measure(num_rounds=1), num_rows=6)


def test_broker(monkeypatch):
    monkeypatch.setattr(broker, "_NUM_APPENDS", 5)
    check(broker.measure(num_rounds=2), num_rows=4)


def test_queue(monkeypatch):
    """With Redis or without: the rows are the same."""
    monkeypatch.setattr(queue, "_SIZES", {1000: 20, queue._MIDDLE: 4})
    figures = queue.measure(num_rounds=1)
    check([one for one in figures if one.figure is not None], num_rows=16 - num_missing(figures))


def num_missing(figures: Sequence[Figure]) -> int:
    missing = [one for one in figures if one.figure is None]
    assert all("redis-server" in one.how for one in missing)
    return len(missing)


def test_event_loop(monkeypatch):
    """With uvloop or without: the rows are the same."""
    monkeypatch.setattr(event_loop, "_NUM_MESSAGES", 4)
    rows = event_loop.measure(num_rounds=1)
    if rows[0].figure is None:
        assert all("uvloop is not installed" in row.how for row in rows)
    else:
        check(rows, num_rows=2)


def test_swarm(monkeypatch):
    for name, value in (("_COUNTS", (1, 2)), ("_NUM_MESSAGES", 12), ("_NUM_KILLS", 1)):
        monkeypatch.setattr(swarm, name, value)
    check(swarm.measure(num_rounds=1), num_rows=4)


def test_actor(monkeypatch):
    for name, value in (("_NUM_ROWS", 4), ("_GROUP_SIZE", 2), ("_NUM_TOKENS", 3)):
        monkeypatch.setattr(actor, name, value)
    check(actor.measure(num_rounds=1), num_rows=2)


def test_trainer():
    check(trainer.measure(num_rounds=1, num_rows=8), num_rows=1)


def test_without_a_demo_the_row_says_how_to_get_one():
    (row,) = demo_waiting.measure()
    assert row.figure is None
    assert "make demo" in row.how
