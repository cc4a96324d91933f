"""Who was killed: numbers in the pictures, and a table that says what they mean."""

from learner.report.axes import Scale
from learner.report.markup import label, table, tag, words
from learner.report.story import Story

_DEFINITION = (
    "Back at work: an actor, when a group that its next process was leased has its verdict; the "
    "coordinator, with its next lease, verdict or batch; the trainer, with its next policy; a "
    "message server, with the next record of the run; object storage, with the next accepted group "
    "or policy. Times are those of the run's logs."
)


def numbered(places: list[float], y: Scale) -> str:
    """A line and a number at every kill's place."""
    return "".join(_numbered(n, x, y) for n, x in enumerate(places, 1))


def lines(places: list[float], y: Scale) -> str:
    """Only the lines, for pictures too small for numbers."""
    return "".join(_line(x, y) for x in places)


def as_table(story: Story) -> str:
    """One row per kill, and what its last column means; empty when nobody was killed."""
    if not story.kills:
        return ""
    heads = ("kill", "who", "doing", "seconds in", "after step", "back at work after")
    rows = []
    for n, kill in enumerate(story.kills, 1):
        back = story.back_at_work(kill)
        rows.append(
            (
                str(n),
                words(kill.who),
                words(kill.doing),
                f"{story.seconds(kill.time):.0f}",
                str(kill.step),
                "not seen again" if back is None else f"{back - kill.time:.1f} s",
            )
        )
    return table(heads, rows, class_="numbers") + tag("p", _DEFINITION, class_="lead")


def _line(x: float, y: Scale) -> str:
    return tag("line", x1=x, x2=x, y1=y.start, y2=y.end, class_="kill")


def _numbered(n: int, x: float, y: Scale) -> str:
    return (
        _line(x, y)
        + tag("circle", cx=x, cy=y.end - 12, r=9, class_="kill-mark")
        + label(x, y.end - 8, str(n), anchor="middle", class_="kill-number")
    )
