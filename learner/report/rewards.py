"""The reward against steps and against wall-clock time, with what happened to the run marked.

The faint line is each step's mean, the strong one a running mean. Kills have numbers, which the
table under the pictures explains. Below the wall clock is one lane per process, and both lines are
broken where the run stood still.
"""

from learner.report import gaps, kills, lanes
from learner.report.axes import Point, Scale, curve, grid, smooth, stretches
from learner.report.markup import label, picture
from learner.report.story import Story

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 56, 150, 34
_HEIGHT = 300
_REACH = 4
"""Steps on either side that the running mean takes in."""


def against_steps(story: Story) -> str:
    """The picture over optimizer steps."""
    last = story.steps[-1].step if story.steps else 1
    x = Scale(0, last, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, 1, _TOP + _HEIGHT, _TOP)
    points = {figures.step: float(figures.step) for figures in story.steps}
    return picture(
        _WIDTH,
        _TOP + _HEIGHT + 44,
        "Mean reward of all recomputed rollouts against optimizer steps",
        grid(x, y, x_name="optimizer step", y_name="mean reward"),
        kills.numbered([x(kill.step) for kill in story.kills], y),
        _curves(story, points, [], x, y),
    )


def against_time(story: Story) -> str:
    """The picture over wall-clock time, with a lane for each process."""
    shown = lanes.of(story)
    times = [mark.time for mark in story.deeds.marks] + [kill.time for kill in story.kills]
    end = max((story.seconds(time) for time in times), default=1.0)
    x = Scale(0, end, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, 1, _TOP + _HEIGHT, _TOP)
    top = _TOP + _HEIGHT + 60
    bottom = top + lanes.HEIGHT * len(shown)
    points = {figures.step: story.seconds(figures.cut_time) for figures in story.steps}
    return picture(
        _WIDTH,
        bottom + 8,
        "Mean reward against wall-clock time, and what each process did",
        grid(x, y, x_name="seconds since the run was opened", y_name="mean reward"),
        kills.numbered(
            [x(story.seconds(kill.time)) for kill in story.kills], Scale(0, 1, bottom, _TOP)
        ),
        _curves(story, points, stood_still(story), x, y),
        *(lanes.draw(story, who, x, top + lanes.HEIGHT * n) for n, who in enumerate(shown)),
    )


def stood_still(story: Story) -> list[float]:
    """Seconds at which a batch was cut long after the one before."""
    return gaps.ends([story.seconds(figures.cut_time) for figures in story.steps])


def _curves(story: Story, places: dict[int, float], breaks: list[float], x: Scale, y: Scale) -> str:
    part_names = sorted({name for figures in story.steps for name in figures.parts})
    trained_on = story.opened.environment.train_on
    drawn, taken = [], []
    # The part that is trained on is drawn last, on top.
    for name in sorted(part_names, key=lambda name: name == trained_on):
        points = [
            Point(places[each.step], each.parts[name]) for each in story.steps if name in each.parts
        ]
        if not points:
            continue
        class_ = "trained" if name == trained_on else "beside"
        mean = smooth(points, reach=_REACH)
        for line, kind in ((points, "faint "), (mean, "")):
            for stretch in stretches(line, breaks):
                drawn.append(curve(stretch, x, y, class_=f"curve {kind}{class_}"))
        said = f"{name}, trained on" if name == trained_on else name
        height = y(mean[-1].y) + 4
        if any(abs(height - other) < 14 for other in taken):
            height += 14
        taken.append(height)
        drawn.append(label(x(mean[-1].x) + 8, height, said, class_=f"name {class_}"))
    return "".join(drawn)
