"""What a person sees of the demo: tables that stay in their place, or one line per step in a pipe.

Everything in it that an actor chose (its state's words, reasons) is made safe before it is shown.
"""

import re
import sys
from collections.abc import Mapping
from typing import Final, Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker.heard import who_waits
from broker.program.sanitise import sanitise
from broker.program.words import counted
from learner.demo.phases import Phase, Phases
from learner.demo.watch import Watch
from learner.metrics import EDGE_STEPS, StepFigures, edges
from schemas import names

_SHOWN_ACTORS: Final = 12
_REFRESH_PER_S: Final = 4
_HEAD: Final = 9
_BAR: Final = 30
_STATE_WIDTH: Final = 32
"""Columns. With it the table of actors fits into 100; what is longer is cut, so that the table
keeps its height."""
_ASIDE: Final = re.compile("[:,(]")
"""Where the reason behind a reason begins."""


class Screen(Protocol):
    """Somewhere to show the demo."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """Something that happened, in one line."""
        ...

    def progress(self, phase: Phase, share: float | None, text: str) -> None:
        """How far a phase is; None: nobody can say, but it goes on."""
        ...

    def step(self, figures: StepFigures) -> None:
        """A step has a policy."""
        ...

    def look(self, watch: Watch) -> None:
        """The run as it is at this moment."""
        ...


class Lines:
    """For logs: one line for each thing that happens."""

    def __init__(self, names_of: Mapping[str, str], file: TextIO = sys.stdout) -> None:
        self._names_of = names_of
        self._file = file
        self._tenths: dict[Phase, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        print(sanitise(text), file=self._file, flush=True)

    def progress(self, phase: Phase, share: float | None, text: str) -> None:
        tenth = int((share or 0) * 10)
        # SFT says where it is every so many steps, and a reward does not only rise.
        if phase is Phase.SFT or tenth > self._tenths.get(phase, -1):
            self._tenths[phase] = tenth
            self.say(f"{phase}: {text}")

    def step(self, figures: StepFigures) -> None:
        self.say(full_step_line(figures, self._names_of))

    def look(self, watch: Watch) -> None: ...


class Terminal:
    """For people: the table, with what happened scrolling above it."""

    def __init__(self, names_of: Mapping[str, str]) -> None:
        self._names_of = names_of
        self._phases = Phases()
        console = Console(markup=False, highlight=False, emoji=False)
        self._live = Live(console=console, refresh_per_second=_REFRESH_PER_S, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._live.console.print(Text(sanitise(text)))

    def progress(self, phase: Phase, share: float | None, text: str) -> None:
        self._phases.say(phase, share, text)
        self._live.update(phase_table(self._phases))

    def step(self, figures: StepFigures) -> None: ...

    def look(self, watch: Watch) -> None:
        text = f"{watch.step} of {watch.num_steps} steps"
        self._phases.say(Phase.RL, watch.step / watch.num_steps, text)
        phases = phase_table(self._phases)
        self._live.update(Group(phases, Text(), picture(watch, self._names_of)))


def open_screen(names_of: Mapping[str, str]) -> Screen:
    """The screen that suits where the output goes; `names_of` maps actors' ids to names."""
    return Terminal(names_of) if sys.stdout.isatty() else Lines(names_of)


def full_step_line(figures: StepFigures, names_of: Mapping[str, str]) -> str:
    """A step in one line."""
    rewards = (
        "no reward"
        if figures.reward is None
        else f"reward {figures.reward:.2f} {figures.trained_on}"
    )
    others = "".join(
        f", {value:.2f} {name}"
        for name, value in figures.parts.items()
        if name != figures.trained_on
    )
    batch = ", ".join(
        f"{names_of.get(actor, actor[-8:])} {count}"
        for actor, count in sorted(figures.rows_by_actor.items())
    )
    refused = sum(count for verdict, count in figures.judged.items() if verdict != "accepted")
    return (
        f"step {figures.step}: {rewards}{others}; staleness {figures.staleness_mean:.1f} "
        f"(max {figures.staleness_max}); batch: {batch}; {refused} refused, "
        f"{figures.num_without_signal} without signal"
    )


def phase_table(phases: Phases) -> Table:
    """All phases, those to come too."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=_HEAD)
    table.add_column()
    table.add_column(no_wrap=True)
    for phase, (share, text) in phases.all():
        total = None if share is None else 1.0  # without a total the bar only shows that it lives
        bar = ProgressBar(total=total, completed=share or 0, width=_BAR)
        table.add_row(Text(str(phase)), bar, Text(sanitise(text)))
    return table


def picture(watch: Watch, names_of: Mapping[str, str]) -> Group:
    """The run and who works for it."""
    return Group(_run_table(watch), Text(), _actor_table(watch, names_of))


def _run_table(watch: Watch) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=_HEAD)
    table.add_column(no_wrap=True)
    if watch.steps:
        last = watch.steps[-1]
        most = counted(last.staleness_max, "version")
        table.add_row(f"reward ({last.trained_on})", Text(reward_words(watch.steps)))
        table.add_row("staleness", Text(f"mean {last.staleness_mean:.1f}, at most {most}"))
    table.add_row("waiting", Text(sanitise(who_waits(watch.heard))))
    return table


def reward_words(steps: list[StepFigures]) -> str:
    """The reward at both ends of what there is, as the report has it."""
    found = edges(steps)
    if found is None:
        return "none yet"
    first, last = found
    if len(steps) <= EDGE_STEPS:
        return f"{last:.2f} in the first {counted(len(steps), 'step')}"
    return f"{first:.2f} in the first {EDGE_STEPS} steps, {last:.2f} in the last {EDGE_STEPS}"


def _actor_table(watch: Watch, names_of: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("actor", no_wrap=True)
    table.add_column("state", no_wrap=True, max_width=_STATE_WIDTH)
    for head in ("policy", "tokens/s", "accepted"):
        table.add_column(head, justify="right")
    table.add_column("refused", no_wrap=True)
    for actor in _actors(watch, names_of)[:_SHOWN_ACTORS]:
        seen, state = watch.seen.get(actor), watch.state_of(actor)
        table.add_row(
            Text(sanitise(names_of.get(actor, actor[-8:]))),
            Text(_state_words(watch, actor)),
            Text(str(seen.heartbeat.policy or "") if seen else ""),
            Text(f"{seen.heartbeat.tokens_per_s:,.0f}" if seen and state else ""),
            Text(f"{watch.accepted[actor]:,}"),
            Text(_refused_words(watch, actor)),
        )
    return table


def _actors(watch: Watch, names_of: Mapping[str, str]) -> list[str]:
    """Those with names in their order, then strangers."""
    known = watch.seen.keys() | watch.accepted.keys() | watch.refused.keys()
    strangers = known - names_of.keys() - {names.COORDINATOR, names.TRAINER}
    return [*names_of, *sorted(strangers)]


def _state_words(watch: Watch, actor: str) -> str:
    state = watch.state_of(actor)
    if state is None:
        return "gone" if actor in watch.seen else "starting"
    waiting_for = _ASIDE.split(watch.seen[actor].heartbeat.waiting_for, maxsplit=1)[0].strip()
    return f"waits: {sanitise(waiting_for)}" if waiting_for else str(state)


def _refused_words(watch: Watch, actor: str) -> str:
    counts = watch.refused.get(actor)
    return ", ".join(f"{n:,} {why}" for why, n in counts.most_common()) if counts else ""
