"""How far a backup or a restore is, as a bar on a terminal; in a pipe nothing is shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich import progress


class Progress(Protocol):
    """Is told how far the work is."""

    def begin(self, what: str, total: int) -> None:
        """The next stretch of the work; `total` is how many of them there are."""
        ...

    def advance(self, count: int) -> None:
        """So many more are done."""
        ...


class Silence:
    """Shows nothing."""

    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield Silence()
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        yield _Bar(shown)


class _Bar:
    def __init__(self, shown: "progress.Progress") -> None:
        self._shown = shown
        self._task: progress.TaskID | None = None

    def begin(self, what: str, total: int) -> None:
        self._task = self._shown.add_task(what, total=total)

    def advance(self, count: int) -> None:
        assert self._task is not None
        self._shown.advance(self._task, count)
