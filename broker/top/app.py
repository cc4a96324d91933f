"""The screen of `broker top` in a terminal. It draws what `live` knows, and decides nothing."""

from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme

from broker.top.details import Details
from broker.top.live import Live
from broker.top.overview import Overview
from broker.top.sort import Sort

_ACCENT: Final = "#4fb6d8"
_THEME: Final = Theme(
    name="river",
    primary=_ACCENT,
    accent=_ACCENT,
    success="#7bc47f",
    warning="#e0b25a",
    error="#e06c75",
    foreground="#d7dee4",
    background="#0f1519",
    surface="#0f1519",
    panel="#1b252c",
    dark=True,
)


class TopApp(App[None]):
    """Shows a run until somebody leaves it."""

    CSS = """
    Screen { background: $background; }
    #title { height: 1; background: $panel; }
    #facts { height: auto; padding: 1 2; }
    #who { height: auto; padding: 1 2; }
    #unlisted { height: auto; padding: 0 2; color: $warning; }
    #filter { dock: bottom; height: 1; margin-bottom: 1; padding: 0 2; background: $panel; }
    Sheet {
        height: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
        scrollbar-color: #33505f;
        scrollbar-color-hover: $accent;
        scrollbar-color-active: $accent;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
    }
    .sheet--heading { background: $panel; color: #8fa3af; text-style: bold; }
    .sheet--sorted { color: $accent; }
    .sheet--cursor { background: #1e3d4c; }
    .sheet--plain { color: $foreground; }
    .sheet--faint { color: #66757f; }
    .sheet--strong { color: #ffffff; text-style: bold; }
    .sheet--good { color: $success; }
    .sheet--warning { color: $warning; }
    .sheet--bad { color: $error; }
    """
    TITLE = "broker top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", show=False, priority=True)]

    def __init__(self, live: Live, *, sort: Sort, reverse: bool, every_s: float) -> None:
        super().__init__()
        self._overview = Overview(live, _ACCENT, sort=sort, reverse=reverse)
        self._every_s = every_s

    def on_mount(self) -> None:
        """Look again and again, at whichever screen is there."""
        self.register_theme(_THEME)
        self.theme = _THEME.name
        self.push_screen(self._overview)
        self.set_interval(self._every_s, self._look)

    def _look(self) -> None:
        if isinstance(self.screen, Overview | Details):
            self.screen.look()
