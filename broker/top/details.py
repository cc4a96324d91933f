"""The screen of one actor: who it is, how it stands, and the last verdicts on its messages."""

from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static

from broker.program.sanitise import sanitise
from broker.program.words import age, counted, figures, size
from broker.top.columns import SILENT, called
from broker.top.live import Live
from broker.top.sheet import Cell, Heading, Line, Sheet
from broker.top.sort import Sort
from broker.top.tones import Tone, tone_of_verdict
from broker.top.view import ActorView, Judged

_HEADINGS: Final = (
    Heading("ago", right=True),
    Heading("verdict"),
    Heading("message"),
    Heading("lease", right=True),
    Heading("policy", right=True),
    Heading("latency", right=True),
    Heading("rewards"),
    Heading("detail"),
)
_MAX_REWARDS: Final = 16


class Details(Screen[None]):
    """Shows one actor until it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "app.pop_screen", "back")]

    def __init__(self, live: Live, actor: str) -> None:
        super().__init__()
        self._live = live
        self._actor = actor
        self._who = Static(id="who", markup=False)
        self._sheet = Sheet(id="verdicts")

    def compose(self) -> ComposeResult:
        """Who it is, above what became of its groups."""
        yield from (self._who, self._sheet)
        yield Footer()

    def on_mount(self) -> None:
        """Begin with what is known."""
        self._sheet.focus()
        self.look()

    def look(self) -> None:
        """Show how it stands now."""
        view = self._live.view(Sort.ACTOR, containing=self._actor)
        for actor in view.actors:
            if actor.actor == self._actor:
                self._who.update(_who(actor))
        verdicts = self._live.judged(self._actor)
        self._sheet.show(_HEADINGS, [_line(verdict, view.time) for verdict in verdicts])


def _who(view: ActorView) -> Text:
    accepted, refused = view.num_accepted, view.num_refused
    share = f" ({refused / (accepted + refused):.0%})" if refused else ""
    reasons = ", ".join(f"{one.reason} {one.count:,}" for one in view.reasons)
    facts = {
        "actor": view.actor,
        "tier": view.tier,
        "state": ": ".join(filter(None, [str(view.state or SILENT), view.waiting_for])),
        "holds": "" if view.policy is None else f"policy {view.policy}",
        "groups": f"{accepted:,} accepted, {size(view.num_bytes)}; {refused:,} refused{share}",
        "refused for": reasons,
        "purged": f"{counted(view.num_purged, 'message')}, unjudged" if view.num_purged else "",
        "leases": f"{counted(view.num_open_leases, 'open lease')}",
        "rates": f"{view.rates.groups_per_min:,.1f} groups/min, "
        f"{view.rates.tokens_per_s:,.0f} tokens/s, {size(int(view.rates.bytes_per_s))}/s",
    }
    text = Text(sanitise(called(view)), style="bold")
    for name, fact in facts.items():
        if fact:
            text.append(f"\n{name:<13}", style="dim not bold")
            text.append(sanitise(fact), style="not bold")
    return text


def _line(verdict: Judged, now: float) -> Line:
    rewards = figures(verdict.rewards[:_MAX_REWARDS])
    return Line(
        verdict.message,
        [
            Cell(age(now - verdict.time), Tone.FAINT),
            Cell(verdict.verdict, tone_of_verdict(verdict.verdict)),
            Cell(verdict.message),
            Cell("" if verdict.lease_id is None else str(verdict.lease_id)),
            Cell("" if verdict.policy is None else str(verdict.policy)),
            Cell("" if verdict.latency_s is None else f"{verdict.latency_s:.1f} s"),
            Cell(rewards + (" …" if len(verdict.rewards) > _MAX_REWARDS else "")),
            Cell(verdict.detail, Tone.FAINT),
        ],
    )
