"""The reward against steps and against wall-clock time, with what happened to the run marked.

The faint line is each step's mean, the strong one a running mean. Kills have numbers, which the
list under the pictures explains. Below the wall clock is one lane per process, with a tick for each
thing that it did.
"""

from learner import events
from learner.report.axes import Point, Scale, curve, grid, smooth
from learner.report.markup import label, picture, tag, words
from learner.report.palette import class_of
from learner.report.story import Mark, Story
from schemas import names

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 56, 150, 34
_HEIGHT = 300
_LANE = 22
_REACH = 4
"""Steps on either side that the running mean takes in."""


def against_steps(story: Story) -> str:
    """The picture over optimizer steps."""
    last = story.rows[-1].step if story.rows else 1
    x = Scale(0, last, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, 1, _TOP + _HEIGHT, _TOP)
    kills = "".join(
        _kill(n, x(story.step_at(kill.time)), y) for n, kill in enumerate(_kills(story), 1)
    )
    points = {row.step: float(row.step) for row in story.rows}
    return picture(
        _WIDTH,
        _TOP + _HEIGHT + 44,
        "Mean reward of all recomputed rollouts against optimizer steps",
        grid(x, y, x_name="optimizer step", y_name="mean reward"),
        kills,
        _curves(story, points, x, y),
    )


def against_time(story: Story) -> str:
    """The picture over wall-clock time, with a lane for each process."""
    lanes = [names.COORDINATOR, names.TRAINER, *story.actors]
    times = [mark.time for mark in story.marks] + [kill.time for kill in _kills(story)]
    end = max((story.seconds(time) for time in times), default=1.0)
    x = Scale(0, end, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, 1, _TOP + _HEIGHT, _TOP)
    bottom = _TOP + _HEIGHT + 60
    floor = Scale(0, 1, bottom + _LANE * len(lanes), _TOP)
    kills = "".join(
        _kill(n, x(story.seconds(kill.time)), floor) for n, kill in enumerate(_kills(story), 1)
    )
    points = {row.step: story.seconds(row.cut_time) for row in story.rows}
    drawn = "".join(_lane(story, who, x, bottom + _LANE * index) for index, who in enumerate(lanes))
    return picture(
        _WIDTH,
        bottom + _LANE * len(lanes) + 8,
        "Mean reward against wall-clock time, and what each process did",
        grid(x, y, x_name="seconds since the run was opened", y_name="mean reward"),
        kills,
        _curves(story, points, x, y),
        drawn,
    )


def kill_list(story: Story) -> str:
    """What the numbers in the pictures mean."""
    lines = []
    for kill in _kills(story):
        back = story.back_at_work(kill)
        again = f", at work again {back - kill.time:.1f} s later" if back else ""
        doing = f" while {kill.doing}" if kill.doing else ""
        at = story.seconds(kill.time)
        lines.append(tag("li", words(f"{kill.who} killed{doing}, {at:.0f} s in{again}")))
    return tag("ol", *lines, class_="kills") if lines else ""


def _kills(story: Story) -> list[events.Killed]:
    return [each for each in story.events if isinstance(each, events.Killed)]


def _kill(n: int, x: float, y: Scale) -> str:
    return (
        tag("line", x1=x, x2=x, y1=y.start, y2=y.end, class_="kill")
        + tag("circle", cx=x, cy=y.end - 12, r=9, class_="kill-mark")
        + label(x, y.end - 8, str(n), anchor="middle", class_="kill-number")
    )


def _curves(story: Story, places: dict[int, float], x: Scale, y: Scale) -> str:
    part_names = sorted({name for row in story.rows for name in row.parts})
    trained_on = story.opened.environment.train_on
    drawn, taken = [], []
    # The part that is trained on is drawn last, on top.
    for name in sorted(part_names, key=lambda name: name == trained_on):
        points = [Point(places[r.step], r.parts[name]) for r in story.rows if name in r.parts]
        if not points:
            continue
        class_ = "trained" if name == trained_on else "beside"
        mean = smooth(points, reach=_REACH)
        drawn.append(curve(points, x, y, class_=f"curve faint {class_}"))
        drawn.append(curve(mean, x, y, class_=f"curve {class_}"))
        said = f"{name}, trained on" if name == trained_on else name
        height = y(mean[-1].y) + 4
        if any(abs(height - other) < 14 for other in taken):
            height += 14
        taken.append(height)
        drawn.append(label(x(mean[-1].x) + 8, height, said, class_=f"name {class_}"))
    return "".join(drawn)


def _lane(story: Story, who: str, x: Scale, top: float) -> str:
    middle = top + _LANE / 2
    name = who if who in (names.COORDINATOR, names.TRAINER) else story.name(who)
    marks = [mark for mark in story.marks if mark.who == who]
    killed = [kill for kill in _kills(story) if kill.who == name]
    return "".join(
        (
            tag("line", x1=x.start, x2=x.end, y1=middle, y2=middle, class_="grid"),
            label(x.end + 8, middle + 4, name, class_="lie" if story.is_liar(who) else "name"),
            *(_tick(mark, x(story.seconds(mark.time)), middle) for mark in marks),
            *(_cross(x(story.seconds(kill.time)), middle) for kill in killed),
        )
    )


def _tick(mark: Mark, x: float, middle: float) -> str:
    if mark.what == "start":
        d = f"M{x:.2f},{middle - 6} l5,10 h-10 z"
        return tag("path", tag("title", "started"), d=d, class_="start")
    return tag(
        "line", x1=x, x2=x, y1=middle - 7, y2=middle + 7, class_=f"tick-{class_of(mark.what)}"
    )


def _cross(x: float, middle: float) -> str:
    d = f"M{x - 5:.2f},{middle - 5} l10,10 m0,-10 l-10,10"
    return tag("path", tag("title", "killed"), d=d, class_="cross")
