"""Small pictures of what else a researcher looks at, all over the same steps, with kills marked."""

from collections.abc import Callable
from itertools import pairwise

from learner.metrics import StepFigures
from learner.report import kills
from learner.report.axes import Point, Scale, curve, ticks
from learner.report.markup import label, picture, tag
from learner.report.story import Story
from schemas.verdict import Outcome

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT = 200, 40, 14, 26, 90
_TICKS = 3

_FIGURES: tuple[tuple[str, Callable[[StepFigures], float]], ...] = (
    ("entropy, nats", lambda figures: figures.trainer.entropy),
    ("mismatch KL, nats", lambda figures: figures.trainer.mismatch_kl),
    ("gradient norm", lambda figures: figures.trainer.grad_norm),
    ("masked share, %", lambda figures: 100 * figures.trainer.masked_fraction),
)


def draw(story: Story) -> str:
    """All of them, side by side."""
    steps = story.steps
    taken = [figures for figures in steps if not figures.skipped]
    shown = [
        *(
            (name, [Point(figures.step, read(figures)) for figures in taken])
            for name, read in _FIGURES
        ),
        ("accepted groups/s", accepted_per_s(steps)),
    ]
    return tag("div", *(_small(story, name, points) for name, points in shown), class_="multiples")


def accepted_per_s(steps: list[StepFigures]) -> list[Point]:
    """Groups accepted between two batches, per second between them."""
    return [
        Point(
            figures.step,
            figures.judged.get(Outcome.ACCEPTED, 0) / (figures.cut_time - before.cut_time),
        )
        for before, figures in pairwise(steps)
        if figures.cut_time > before.cut_time
    ]


def _small(story: Story, name: str, points: list[Point]) -> str:
    last = story.steps[-1].step
    x = Scale(0, last, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, max((point.y for point in points), default=0) or 1, _TOP + _HEIGHT, _TOP)
    return picture(
        _WIDTH,
        _TOP + _HEIGHT + 22,
        f"{name} against optimizer steps",
        label(2, 14, name, class_="name"),
        *(_rule(x, y, value) for value in ticks(y.low, y.high, _TICKS)),
        *(
            label(x(value), y.start + 16, f"{value:g}", anchor="middle", class_="tick")
            for value in ticks(x.low, x.high, _TICKS)
        ),
        kills.lines([x(kill.step) for kill in story.kills], y),
        curve(points, x, y, class_="curve thin trained"),
    )


def _rule(x: Scale, y: Scale, value: float) -> str:
    line = tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid")
    return line + label(x.start - 6, y(value) + 4, f"{value:g}", anchor="end", class_="tick")
