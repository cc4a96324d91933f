"""A table on the screen that is drawn anew as often as one likes: only what is seen costs anything.

Textual's own table takes 150 ms to change 200 rows. This one draws lines: the first is the heading,
and the cursor stays on its row wherever the row goes.
"""

import functools
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from broker.program.sanitise import sanitise
from broker.top.tones import Tone

_GAP: Final = "  "
_MAX_WIDTH: Final = 32
"""Of a column that is not the last one."""


_harmless = functools.lru_cache(maxsize=8192)(sanitise)
"""Most cells are what they were a moment ago."""


class Heading(NamedTuple):
    """A column."""

    title: str
    right: bool = False
    """Numbers stand right."""
    is_sorted: bool = False


class Cell(NamedTuple):
    """Some text, which may be a stranger's: it is sanitised here, and never read as markup."""

    text: str
    tone: Tone = Tone.PLAIN


class Line(NamedTuple):
    """A row, and what it is called by the program."""

    key: str
    cells: Sequence[Cell]


class Sheet(ScrollView, can_focus=True, inherit_bindings=False):
    """The table."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sheet--heading",
        "sheet--sorted",
        "sheet--cursor",
        *(f"sheet--{tone}" for tone in Tone),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
        Binding("shift+left", "scroll_left", show=False),
        Binding("shift+right", "scroll_right", show=False),
    ]

    class HeadingChosen(Message):
        """Somebody clicked on a heading."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._headings: Sequence[Heading] = ()
        self._lines: Sequence[Line] = ()
        self._widths: list[int] = []
        self._cursor = ""
        """Key of the row that it is on."""

    @property
    def cursor(self) -> str:
        """The key of the row that the cursor is on; empty when there is no row."""
        return self._cursor

    def show(self, headings: Sequence[Heading], lines: Sequence[Line]) -> None:
        """Show these rows instead of those before them."""
        if [heading.title for heading in headings] != [kept.title for kept in self._headings]:
            self._widths = [0] * len(headings)
        self._headings = headings
        self._lines = [
            Line(key, [Cell(_harmless(cell.text), cell.tone) for cell in cells])
            for key, cells in lines
        ]
        # Columns grow and do not shrink, so that nothing moves to and fro.
        self._widths = [
            max(width, min(_MAX_WIDTH, max(map(cell_len, (heading.title, *column)))))
            for width, heading, column in zip(self._widths, headings, self._columns(), strict=True)
        ]
        if self._widths:
            self._widths[-1] = max(map(cell_len, (headings[-1].title, *self._columns()[-1])))
        if self._index is None:
            self._cursor = self._lines[0].key if self._lines else ""
        width = sum(self._widths) + len(_GAP) * (len(headings) + 1)
        self.virtual_size = Size(width, len(self._lines) + 1)
        self.refresh()

    def _columns(self) -> list[tuple[str, ...]]:
        rows = [[cell.text for cell in line.cells] for line in self._lines]
        return list(zip(*rows, strict=True)) if rows else [()] * len(self._headings)

    @property
    def _index(self) -> int | None:
        """Where the row under the cursor stands now; None when it is gone."""
        keys = (index for index, line in enumerate(self._lines) if line.key == self._cursor)
        return next(keys, None)

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One line of what is seen."""
        left, top = self.scroll_offset
        index = top + y - 1
        if y == 0:
            under, strip = self._style("heading"), self._heading()
        elif index < len(self._lines):
            line = self._lines[index]
            under = self._style("cursor") if line.key == self._cursor else self.rich_style
            strip = self._row(line, under)
        else:
            return Strip.blank(self.size.width, self.rich_style)
        return strip.crop(left, left + self.size.width).adjust_cell_length(self.size.width, under)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"sheet--{part}", partial=True)

    def _heading(self) -> Strip:
        plain, chosen = self._style("heading"), self._style("sorted")
        return self._strip(
            [heading.title for heading in self._headings],
            [plain + chosen if heading.is_sorted else plain for heading in self._headings],
            plain,
        )

    def _row(self, line: Line, under: Style) -> Strip:
        styles = {tone: self._style(tone) for tone in Tone}
        return self._strip(
            [cell.text for cell in line.cells],
            [under + styles[cell.tone] for cell in line.cells],
            under,
        )

    def _strip(self, texts: Sequence[str], styles: Sequence[Style], under: Style) -> Strip:
        segments = [Segment(_GAP, under)]
        for heading, width, text, style in zip(
            self._headings, self._widths, texts, styles, strict=True
        ):
            cut = text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
            room = " " * (width - cell_len(cut))
            segments.append(Segment(room + cut if heading.right else cut + room, style))
            segments.append(Segment(_GAP, under))
        return Strip(segments)

    # Keys and clicks

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        if self._lines:
            index = max(0, min(len(self._lines) - 1, (self._index or 0) + by))
            self._put_cursor(index)

    def action_move_page(self, by: int) -> None:
        """Move the cursor by what is seen at once."""
        self.action_move(by * max(1, self.size.height - 2))

    def on_click(self, event: events.Click) -> None:
        """A heading is chosen, or the cursor put on a row."""
        index = self.scroll_offset.y + event.y - 1
        if event.y == 0:
            self._choose_heading(self.scroll_offset.x + event.x)
        elif index < len(self._lines):
            self._put_cursor(index)

    def _choose_heading(self, x: int) -> None:
        end = 0
        for index, width in enumerate(self._widths):
            end += len(_GAP) + width
            if x < end:
                self.post_message(self.HeadingChosen(index))
                return

    def _put_cursor(self, index: int) -> None:
        self._cursor = self._lines[index].key
        seen = max(1, self.size.height - 1)
        top = max(min(self.scroll_offset.y, index), index - seen + 1)
        self.scroll_to(y=top, animate=False)
        self.refresh()
