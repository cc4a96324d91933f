"""A measured figure, and the table of all of them."""

from collections.abc import Sequence
from statistics import median

import msgspec
from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """One row: the median of several rounds, with the worst and the best."""

    name: str
    figure: float | None
    """None: could not be measured; `how` says what is missing."""
    low: float | None = None
    high: float | None = None
    unit: str
    aim: str
    how: str


def of_rounds(values: Sequence[float], *, name: str, unit: str, aim: str, how: str) -> Figure:
    """The median of the rounds.

    Example: three rounds of 1.9, 2.1 and 2.0 are 2.0, from 1.9 to 2.1.
    """
    return Figure(
        name=name,
        figure=round(median(values), 3),
        low=round(min(values), 3),
        high=round(max(values), 3),
        unit=unit,
        aim=aim,
        how=how,
    )


def missing(name: str, *, unit: str, aim: str, how: str) -> Figure:
    """A row without a figure; `how` says what it takes to have one."""
    return Figure(name=name, figure=None, unit=unit, aim=aim, how=how)


def to_markdown(figures: Sequence[Figure]) -> str:
    """The table as the README has it."""
    lines = ["| what | figure | range | aim | how |", "|---|---|---|---|---|"]
    for one in figures:
        figure = "not measured" if one.figure is None else f"{one.figure:g} {one.unit}".strip()
        spread = "" if one.low is None or one.high is None else f"{one.low:g} to {one.high:g}"
        lines.append(f"| {one.name} | {figure} | {spread} | {one.aim} | {one.how} |")
    return "\n".join(lines) + "\n"


def to_json(figures: Sequence[Figure]) -> bytes:
    """The table as a list of objects."""
    return msgspec.json.format(msgspec.json.encode(figures)) + b"\n"
