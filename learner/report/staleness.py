"""How old the rows were that the run trained on: a histogram with the limit as a line."""

from collections import Counter

from learner.report.axes import Scale, ticks
from learner.report.markup import label, picture, tag
from learner.report.story import Story

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT = 960, 56, 20, 30, 180
_WIDEST = 90


def count_rows(story: Story) -> Counter[int]:
    """Rows of all batches by their staleness in versions."""
    counts: Counter[int] = Counter()
    for figures in story.steps:
        counts.update(dict(enumerate(figures.staleness_rows)))
    return counts


def draw(story: Story) -> str:
    """The picture."""
    counts, limit = count_rows(story), story.opened.settings.leases.max_staleness
    oldest = max([limit, *counts])
    x = Scale(-0.5, oldest + 1.5, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, max([1, *counts.values()]), _TOP + _HEIGHT, _TOP)
    width = min(_WIDEST, (x(1) - x(0)) * 0.7)
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        parts.append(label(x.start - 8, y(value) + 4, f"{value:g}", anchor="end", class_="tick"))
    for lag in range(oldest + 1):
        top, fate = y(counts[lag]), "fill-batch" if lag <= limit else "fill-rejected"
        parts.append(
            tag(
                "rect",
                x=x(lag) - width / 2,
                y=top,
                width=width,
                height=y.start - top,
                class_=fate,
            )
        )
        parts.append(label(x(lag), top - 6, f"{counts[lag]:,}", anchor="middle", class_="tick"))
        parts.append(label(x(lag), y.start + 18, str(lag), anchor="middle", class_="tick"))
    line = x(limit + 0.5)
    parts.append(tag("line", x1=line, x2=line, y1=y.start, y2=y.end - 14, class_="limit"))
    parts.append(label(line + 8, y.end - 4, f"limit {limit}", class_="limit-name"))
    parts.append(label(x.end, y.start + 36, "versions behind", anchor="end", class_="axis"))
    parts.append(label(x.start - 8, y.end - 14, "rows", class_="axis"))
    title = "Rows of all batches by staleness"
    return picture(_WIDTH, _TOP + _HEIGHT + 44, title, *parts)
