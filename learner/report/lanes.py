"""One lane per process under the wall clock, with a tick for each thing that it did."""

from collections.abc import Iterator

from learner.deeds import LEASE, START, Mark
from learner.events import Started
from learner.report.axes import Scale
from learner.report.fates import class_of
from learner.report.markup import label, tag, words
from learner.report.story import Story
from schemas import names

HEIGHT = 22
_ROLES = (names.COORDINATOR, names.TRAINER)
_LEGEND = (
    ("| accepted", "accepted"),
    ("| batch cut, policy announced", "batch"),
    ("| stale", "stale"),
    ("| late", "late"),
    ("| duplicate", "quiet"),
    ("| rejected", "rejected"),
)


def of(story: Story) -> list[str]:
    """Who has a lane: both roles, the actors, and whoever else was killed."""
    known = [*_ROLES, *story.actors]
    names_of_known = {_name(story, who) for who in known}
    others = dict.fromkeys(kill.who for kill in story.kills if kill.who not in names_of_known)
    return [*known, *others]


def draw(story: Story, who: str, x: Scale, top: float) -> str:
    """One lane."""
    middle = top + HEIGHT / 2
    name = _name(story, who)
    killed = [kill for kill in story.kills if kill.who == name]
    return "".join(
        (
            tag("line", x1=x.start, x2=x.end, y1=middle, y2=middle, class_="grid"),
            label(x.end + 8, middle + 4, name, class_="lie" if story.is_liar(who) else "name"),
            *(_tick(mark, x(story.seconds(mark.time)), middle) for mark in _marks(story, who)),
            *(_cross(x(story.seconds(kill.time)), middle) for kill in killed),
        )
    )


def legend(story: Story) -> str:
    """What the ticks mean that there are."""
    shown = [mark for who in of(story) for mark in _marks(story, who)]
    classes = {class_of(mark.what) for mark in shown if mark.what != START}
    entries = [("▲ process starts", "start")]
    if story.kills:
        entries.append(("✕ killed", "rejected"))
    entries += [(text, class_) for text, class_ in _LEGEND if class_ in classes]
    spans = (tag("span", words(text), class_=class_) for text, class_ in entries)
    return tag("figcaption", *spans, class_="legend")


def _marks(story: Story, who: str) -> Iterator[Mark]:
    """What is drawn in a lane. Of a lease, that is the verdict on it."""
    for mark in story.deeds.marks:
        if mark.who == who and mark.what != LEASE:
            yield mark
    if who not in _ROLES and who not in story.actors:
        # A server writes no log: that it was started is known from outside.
        for event in story.events:
            if isinstance(event, Started) and event.who == who:
                yield Mark(event.time, who, START, "")


def _name(story: Story, who: str) -> str:
    return who if who in _ROLES else story.name(who)


def _tick(mark: Mark, x: float, middle: float) -> str:
    if mark.what == START:
        d = f"M{x:.2f},{middle - 6} l5,10 h-10 z"
        return tag("path", tag("title", "started"), d=d, class_="start")
    return tag(
        "line", x1=x, x2=x, y1=middle - 7, y2=middle + 7, class_=f"tick-{class_of(mark.what)}"
    )


def _cross(x: float, middle: float) -> str:
    d = f"M{x - 5:.2f},{middle - 5} l10,10 m0,-10 l-10,10"
    return tag("path", tag("title", "killed"), d=d, class_="cross")
