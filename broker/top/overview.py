"""The screen of all actors: the run above, a table of them below."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from broker.top import banner, words
from broker.top.columns import COLUMNS, Column
from broker.top.details import Details
from broker.top.live import Live
from broker.top.sheet import Cell, Heading, Line, Sheet
from broker.top.sort import Sort
from broker.top.tones import tone_of
from broker.top.view import ActorView


class Overview(Screen[None]):
    """Shows what `live` knows, as often as it is told to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "look_closer", "verdicts", key_display="enter"),
        Binding("s,right", "sort(1)", "sort by another column", key_display="← →"),
        Binding("left", "sort(-1)", show=False),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "no_filter", "all rows"),
        Binding("q", "app.quit", "quit"),
    ]

    def __init__(self, live: Live, accent: str, *, sort: Sort, reverse: bool) -> None:
        super().__init__()
        self._live = live
        self._accent = accent
        self._sort = sort
        self._reverse = reverse
        self._columns: Sequence[Column] = COLUMNS
        self._title = Static(id="title", markup=False)
        self._facts = Static(id="facts", markup=False)
        self._sheet = Sheet(id="actors")
        self._unlisted = Static(id="unlisted", markup=False)
        self._filter = Input(
            id="filter", placeholder="only rows in which this stands", compact=True
        )

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield from (self._title, self._facts, self._sheet, self._unlisted, self._filter)
        yield Footer()

    def on_mount(self) -> None:
        """Begin with what is known."""
        self._filter.display = False
        self._sheet.focus()
        self.look()

    def look(self) -> None:
        """Show the run as it is known at this moment."""
        view = self._live.view(self._sort, reverse=self._reverse, containing=self._filter.value)
        self._title.update(banner.title(view, self._accent))
        self._facts.update(banner.facts(view, self._accent))
        self._unlisted.update(words.unlisted(view))
        self._unlisted.display = bool(view.num_unlisted)
        # Those in which something stands; the one that is sorted by is always there.
        self._columns = [
            column
            for column in COLUMNS
            if column.sort is self._sort or any(column.cell(actor) for actor in view.actors)
        ]
        self._sheet.show(
            [self._heading(column) for column in self._columns],
            [self._line(actor) for actor in view.actors],
        )

    def _heading(self, column: Column) -> Heading:
        if column.sort is not self._sort:
            return Heading(column.title, column.is_number)
        arrow = "▼" if column.is_number != self._reverse else "▲"
        return Heading(f"{column.title} {arrow}", column.is_number, is_sorted=True)

    def _line(self, actor: ActorView) -> Line:
        cells = [Cell(column.cell(actor), tone_of(column.sort, actor)) for column in self._columns]
        return Line(actor.actor, cells)

    # Keys and clicks

    def action_look_closer(self) -> None:
        """Show the verdicts on the actor under the cursor."""
        if self._sheet.cursor:
            self.app.push_screen(Details(self._live, self._sheet.cursor))

    def action_sort(self, by: int) -> None:
        """Sort by another column, so many to the right."""
        shown = [column.sort for column in self._columns]
        self._sort = shown[(shown.index(self._sort) + by) % len(shown)]
        self.look()

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self._reverse = not self._reverse
        self.look()

    def on_sheet_heading_chosen(self, message: Sheet.HeadingChosen) -> None:
        """A click sorts by a column, a second one the other way round."""
        chosen = self._columns[message.index].sort
        self._reverse = chosen is self._sort and not self._reverse
        self._sort = chosen
        self.look()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is something to leave only while rows are filtered."""
        return self._filter.display if action == "no_filter" else True

    def action_filter(self) -> None:
        """Let a word be typed that rows must contain."""
        self._filter.display = True
        self._filter.focus()
        self.refresh_bindings()

    def action_no_filter(self) -> None:
        """Show all rows again."""
        self._filter.value = ""
        self.on_input_submitted()
        self.look()

    def on_input_changed(self) -> None:
        """Rows go and come while one types."""
        self.look()

    def on_input_submitted(self) -> None:
        """The word stays, and the keys belong to the table again."""
        self._filter.display = bool(self._filter.value)
        self._sheet.focus()
        self.refresh_bindings()
