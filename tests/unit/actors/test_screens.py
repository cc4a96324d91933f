"""The same report on a terminal, in a log, and for a script."""

import io
import json

import msgspec
import pytest
from rich.console import Console
from structlog.testing import capture_logs

from actors.report import Report
from actors.screens import JsonLines, Lines, table
from actors.verdicts import Losses
from schemas.heartbeat import State


@pytest.fixture
def report():
    return Report(
        run="demo",
        actor="ALICE",
        state=State.QUEUE_FULL,
        waiting_for="room in the queue",
        policy="1-7",
        tokens_per_s=1234.5,
        groups_generating=2,
        groups_published=30,
        groups_accepted=27,
        lost=(Losses(reason="reward-mismatch", count=3, detail="claimed 1, found 0"),),
    )


def test_table_tells_all(report):
    console = Console(file=io.StringIO(), width=100)
    console.print(table(report))
    shown = console.file.getvalue()
    for words in (
        "demo, as ALICE",
        "queue-full, waiting for room in the queue",
        "1-7",
        "1,234 tokens/s in 2 groups",
        "30 published, 27 accepted",
        "3 reward-mismatch: claimed 1, found 0",
    ):
        assert words in shown


def test_json_is_one_document_a_line(report):
    file = io.StringIO()
    with JsonLines(file) as screen:
        screen.show(report)
        screen.show(report)
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["lost"][0]["count"] == 3


def lines_of(report: Report, *seen: tuple[float, State]) -> list[tuple[float, str]]:
    """Times and states of the lines about these states."""
    now = 0.0
    lines = []
    with capture_logs() as logs, Lines(clock=lambda: now) as screen:
        for time, state in seen:
            now = time
            num_lines = len(logs)
            screen.show(msgspec.structs.replace(report, state=state))
            lines += [(now, line["event"]) for line in logs[num_lines:]]
    return lines


def test_a_line_says_what_was_lost(report):
    with capture_logs() as logs, Lines() as screen:
        screen.show(report)
    assert logs[0]["event"] == "queue-full"
    assert logs[0]["lost"] == {"reward-mismatch": 3}


def test_a_state_that_matters_has_a_line_at_once_and_only_once(report):
    assert lines_of(
        report,
        (0.0, State.GENERATING),
        (0.5, State.PUBLISHING),
        (1.0, State.GENERATING),
        (1.5, State.QUEUE_FULL),
        (2.0, State.QUEUE_FULL),
        (2.5, State.GENERATING),
    ) == [(0.0, "generating"), (1.5, "queue-full"), (2.5, "generating")]


def test_the_course_of_work_has_a_line_now_and_then(report):
    course = (State.GENERATING, State.WAITING_FOR_LEASE)
    seen = [(tick / 2, course[tick % 2]) for tick in range(50)]
    assert lines_of(report, *seen) == [
        (0.0, "generating"),
        (10.5, "waiting-for-lease"),
        (21.0, "generating"),
    ]


def test_a_state_that_lasts_is_recalled_now_and_then(report):
    seen = [(tick / 2, State.COORDINATOR_AWAY) for tick in range(130)]
    assert [time for time, _ in lines_of(report, *seen)] == [0.0, 30.0, 60.0]
