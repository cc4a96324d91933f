"""What a person or a script sees of a running actor: a table on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Final, Protocol, Self, TextIO

import msgspec
import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Table

from actors.report import Report
from schemas.heartbeat import State

_WORKING: Final = {State.GENERATING, State.PUBLISHING}
"""A change between these is not worth a line."""
_COURSE: Final = _WORKING | {State.FETCHING, State.LOADING, State.WAITING_FOR_LEASE}
"""What an actor at work goes through several times a second."""
_COURSE_S: Final = 10.0
"""So long a change between these is not worth a line."""
_REMINDER_S: Final = 30.0
_SHOWN_REASONS: Final = 5

_log = structlog.get_logger(__name__)


class Screen(Protocol):
    """Somewhere to show reports."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, report: Report) -> None: ...


class Lines:
    """Log lines: at each change of state that matters, and now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: Report | None = None
        self._last_time = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, report: Report) -> None:
        if not self._worth_a_line(report):
            return
        self._last, self._last_time = report, self._clock()
        _log.info(
            str(report.state),
            waiting_for=report.waiting_for,
            policy=report.policy,
            tokens_per_s=report.tokens_per_s,
            published=report.groups_published,
            accepted=report.groups_accepted,
            lost={losses.reason: losses.count for losses in report.lost},
        )

    def _worth_a_line(self, report: Report) -> bool:
        if self._last is None:
            return True
        age_s = self._clock() - self._last_time
        both = {report.state, self._last.state}
        if len(both) == 1 or both == _WORKING:
            return age_s >= _REMINDER_S
        return not both <= _COURSE or age_s >= _COURSE_S


class JsonLines:
    """One JSON document a line, for scripts."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, report: Report) -> None:
        print(msgspec.json.encode(report).decode(), file=self._file, flush=True)


class Terminal:
    """A table that stays in its place, also when all is over; log lines scroll above it."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, report: Report) -> None:
        self._live.update(table(report), refresh=True)


def table(report: Report) -> Table:
    """The report as a person reads it. Every text in it is safe to print."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column()
    rows.add_row("run", f"{report.run}, as {report.actor}")
    waiting = f", waiting for {report.waiting_for}" if report.waiting_for else ""
    rows.add_row("state", f"{report.state}{waiting}")
    rows.add_row("policy", report.policy or "none yet")
    rows.add_row(
        "speed", f"{report.tokens_per_s:,.0f} tokens/s in {report.groups_generating} groups"
    )
    rows.add_row(
        "groups", f"{report.groups_published} published, {report.groups_accepted} accepted"
    )
    for losses in report.lost[:_SHOWN_REASONS]:
        detail = f": {losses.detail}" if losses.detail else ""
        rows.add_row("lost", f"{losses.count} {losses.reason}{detail}")
    return rows


def open_screen(*, json: bool) -> Screen:
    """The screen that suits where the output goes."""
    if json:
        return JsonLines(sys.stdout)
    return Terminal() if sys.stderr.isatty() else Lines()
