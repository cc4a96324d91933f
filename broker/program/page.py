"""Where the answers to a question that is asked again and again are shown.

| page | an answer | a server that is away |
|---|---|---|
| `InPlace`, on a terminal | takes the place of the one before it | is said above the last answer |
| `OneByOne`, in a pipe | below the one before it, with the time | is said on standard error |
| `Lines`, for programs | a JSON document on a line of its own | is said on standard error |
"""

import contextlib
import io
import sys
import time
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from broker.program import screen
from broker.program.sanitise import sanitise
from broker.program.words import utc

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Page(Protocol[T_contra]):
    """Shows answers until its `with` block ends."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def answer(self, value: T_contra) -> None:
        """Show the answer of now."""
        ...

    def away(self, sentence: str) -> None:
        """Say that there is no answer, and that it is waited for; may be said again and again."""
        ...


class _Below(Generic[T]):
    """A page that only grows."""

    def __init__(self) -> None:
        self._away = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def away(self, sentence: str) -> None:
        if not self._away:
            self._say(f"{sentence}; waiting for it")
        self._away = True

    def _back(self) -> None:
        if self._away:
            self._say("there are answers again")
        self._away = False

    def _say(self, sentence: str) -> None:
        print(f"{utc(time.time())}  {sanitise(sentence, max_length=2000)}", file=sys.stderr)


class Lines(_Below[object]):
    """JSON, a document on each line."""

    def answer(self, value: object) -> None:
        self._back()
        screen.show_json_line(value)
        sys.stdout.flush()


class OneByOne(_Below[T]):
    """Each answer as it would be shown alone, behind its time."""

    def __init__(self, show: Callable[[T], None]) -> None:
        super().__init__()
        self._show = show

    def answer(self, value: T) -> None:
        self._back()
        screen.show_line(utc(time.time()))
        self._show(value)
        screen.show_line()
        sys.stdout.flush()


class InPlace(Generic[T]):
    """The last answer stays on the terminal when it ends."""

    def __init__(self, show: Callable[[T], None], *, every_s: float) -> None:
        from rich.console import Console
        from rich.live import Live

        self._show = show
        self._every_s = every_s
        self._shown = ""
        console = Console(markup=False, highlight=False, emoji=False)
        # What does not fit on the screen is left out until the end.
        self._live = Live(
            console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def answer(self, value: T) -> None:
        with contextlib.redirect_stdout(_Sheet()) as sheet:
            self._show(value)
        self._shown = sheet.getvalue()
        self._draw(f"{utc(time.time())}, again every {self._every_s:g} s until Ctrl-C")

    def away(self, sentence: str) -> None:
        self._draw(f"{utc(time.time())}  {sentence}; waiting for it")

    def _draw(self, head: str) -> None:
        from rich.text import Text

        # The colours are ours: all that was printed went through `broker.program.screen`.
        text = Text().append(f"{sanitise(head, max_length=2000)}\n", style="dim")
        self._live.update(text.append_text(Text.from_ansi(self._shown)), refresh=True)


class _Sheet(io.StringIO):
    """Takes what is meant for a terminal."""

    def isatty(self) -> bool:
        return True


def page(show: Callable[[T], None], *, json: bool, every_s: float) -> Page[T]:
    """The page that fits where the answers go."""
    if json:
        return Lines()
    return InPlace(show, every_s=every_s) if sys.stdout.isatty() else OneByOne(show)
