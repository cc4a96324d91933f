"""The same report on a terminal, in a log, and for a script."""

import io
import json

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


def test_lines_are_few(report):
    def at(state: State) -> Report:
        return Report(
            **{name: getattr(report, name) for name in Report.__struct_fields__ if name != "state"},
            state=state,
        )

    with capture_logs() as logs, Lines() as screen:
        for state in (
            State.GENERATING,
            State.PUBLISHING,
            State.GENERATING,
            State.QUEUE_FULL,
            State.QUEUE_FULL,
            State.GENERATING,
        ):
            screen.show(at(state))
    assert [line["event"] for line in logs] == ["generating", "queue-full", "generating"]
    assert logs[0]["lost"] == {"reward-mismatch": 3}
