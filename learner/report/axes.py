"""Scales, ticks and the grid behind a curve.

>>> Scale(0, 10, 100, 200)(5)
150.0
>>> ticks(0, 97), ticks(0, 1), ticks(3, 3), ticks(0, 97, 2)
([0, 20, 40, 60, 80], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [3], [0, 50])
"""

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from learner.report.markup import label, number, tag

_WANTED_TICKS = 6


class Scale(NamedTuple):
    """Maps values from `low` to `high` to places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


class Point(NamedTuple):
    """A point of a curve, in its own units."""

    x: float
    y: float


def ticks(low: float, high: float, wanted: int = _WANTED_TICKS) -> list[float]:
    """About so many round numbers between two values."""
    if high <= low:
        return [low]
    rough = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough)
    found = [
        round(n * step, 10)
        for n in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)
    ]
    return [int(value) for value in found] if step >= 1 else found


def grid(x: Scale, y: Scale, *, x_name: str, y_name: str) -> str:
    """Lines and numbers of both axes, with their names."""
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(
            tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid")
            + label(x.start - 8, y(value) + 4, f"{value:g}", anchor="end", class_="tick")
        )
    for value in ticks(x.low, x.high):
        parts.append(label(x(value), y.start + 18, f"{value:g}", anchor="middle", class_="tick"))
    parts.append(label(x.end, y.start + 36, x_name, anchor="end", class_="axis"))
    parts.append(label(x.start - 8, y.end - 12, y_name, class_="axis"))
    return "".join(parts)


def curve(points: Sequence[Point], x: Scale, y: Scale, *, class_: str) -> str:
    """A line through points, in their order; a dot where there is one point."""
    if not points:
        return ""
    points = [*points, points[0]] if len(points) == 1 else points
    places = " ".join(f"{number(x(point.x))},{number(y(point.y))}" for point in points)
    return tag("polyline", points=places, class_=class_)


def stretches(points: Sequence[Point], breaks: Sequence[float]) -> list[list[Point]]:
    """The points between breaks; a break lies before the first point whose x is not smaller.

    >>> stretches([Point(1, 0), Point(2, 0), Point(9, 0)], [9])
    [[Point(x=1, y=0), Point(x=2, y=0)], [Point(x=9, y=0)]]
    """
    grouped = itertools.groupby(points, key=lambda point: bisect.bisect_right(breaks, point.x))
    return [list(stretch) for _, stretch in grouped]


def smooth(points: Sequence[Point], *, reach: int) -> list[Point]:
    """Each point's y as the mean over its neighbours, up to `reach` on either side.

    >>> [point.y for point in smooth([Point(0, 0), Point(1, 1), Point(2, 0.5)], reach=1)]
    [0.5, 0.5, 0.75]
    """
    near = [points[max(0, i - reach) : i + reach + 1] for i in range(len(points))]
    return [
        Point(point.x, sum(each.y for each in around) / len(around))
        for point, around in zip(points, near, strict=True)
    ]
