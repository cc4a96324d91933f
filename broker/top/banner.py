"""The head of the screen: the run as a whole."""

from typing import Final

from rich.table import Table
from rich.text import Text

from broker.program.sanitise import sanitise
from broker.program.words import utc
from broker.top import words
from broker.top.view import HeadView, TopView

_BAR: Final = 24
_SPARKS: Final = 32


def title(view: TopView, accent: str) -> Table:
    """The first line: which run, and whether this is how things are now."""
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    left = Text.assemble((" broker top ", f"bold reverse {accent}"), " ", (view.head.run, "bold"))
    if not view.connected:
        now = Text(" the server is away ", style="bold reverse red")
    elif view.share_read < 1:
        now = Text(f"reading the log, {view.share_read:.0%}", style="yellow")
    else:
        now = Text("● live", style="green")
    line.add_row(left, Text.assemble(now, ("  " + utc(view.time)[11:19] + " UTC ", "dim")))
    return line


def facts(view: TopView, accent: str) -> Table:
    """The lines below it."""
    head = view.head
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=9)
    table.add_column(overflow="fold")
    table.add_row("step", Text.assemble(words.step(head), "  ", _bar(head, accent)))
    sparks = words.sparkline(head.rewards, width=_SPARKS)
    table.add_row("reward", Text.assemble((words.reward(head), "bold"), "  ", (sparks, accent)))
    table.add_row("staleness", _told(words.staleness(head)))
    table.add_row("queue", _told(words.queue(head, view.time)))
    table.add_row("groups", _told(f"{words.rates(head)}; {words.groups(head)}"))
    table.add_row("waiting", _told(head.who_waits))
    # Their own words are among these.
    table.add_row("daemons", _told(words.daemons(head)))
    return table


def _told(text: str) -> Text:
    return Text(sanitise(text))


def _bar(head: HeadView, accent: str) -> Text:
    if not head.num_steps:
        return Text()
    done = round(_BAR * min(1.0, head.step / head.num_steps))
    return Text.assemble(("━" * done, accent), ("━" * (_BAR - done), "dim"))
