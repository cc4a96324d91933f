"""The numbers at the top. One that would say that something never happened is left out."""

import bisect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from learner.deeds import START
from learner.metrics import EDGE_STEPS, edges
from learner.report import gaps
from learner.report.markup import tag, words
from learner.report.story import Story
from schemas.names import COORDINATOR, TRAINER

_ROLES: Final = (COORDINATOR, TRAINER)


def draw(story: Story) -> str:
    """All of them."""
    return tag(
        "div",
        *(
            tag("div", tag("b", words(value)), tag("span", words(name)), class_="card")
            for value, name in _tiles(story)
        ),
        class_="cards",
    )


def _tiles(story: Story) -> Iterator[tuple[str, str]]:
    tally, steps = story.tally, story.steps
    num_accepted, num_quiet = len(tally.accepted), len(tally.without_signal)
    trained_on = story.opened.environment.train_on
    if found := edges(steps):
        name = (
            f"mean reward ({trained_on}) of all rollouts of the first and last {EDGE_STEPS} steps"
        )
        yield f"{found[0]:.2f} → {found[1]:.2f}", name
    if num_quiet:
        name = f"of {num_accepted:,} accepted groups without signal ({num_quiet:,}): in no batch"
        yield f"{num_quiet / num_accepted:.0%}", name
    else:
        yield f"{num_accepted:,}", "accepted groups, all with signal"
    if num_refused := len(story.verdicts) - num_accepted:
        yield f"{num_refused:,}", "messages refused, each with a reason"
    if num_purged := tally.purged.counts().total():
        yield f"{num_purged:,}", "messages purged unseen, counted by reason"
    yield f"{len(story.actors)}", "actors"
    if story.kills:
        yield f"{len(story.kills)}", "kills"
    elif num_again := starts_again(story):
        yield f"{num_again}", "times that coordinator or trainer started again"
    share = waited_share(story)
    if share is not None:
        name = (
            "of the time between steps the trainer waited for a batch; restarts and gaps left out"
        )
        yield f"{share:.0%}", name


def starts_again(story: Story) -> int:
    """Of coordinator and trainer: all but the first one of each."""
    starts = [mark.who for mark in story.deeds.marks if mark.what == START and mark.who in _ROLES]
    return len(starts) - len(set(starts))


def waited_share(story: Story) -> float | None:
    """Of the time from one step's policy to the next one's; None where nothing is counted.

    Not counted is the time of a step in which the coordinator or the trainer began, or before
    which there is a gap: nobody may have been there to wait.
    """
    begun = [mark.time for mark in story.deeds.marks if mark.what == START and mark.who in _ROLES]
    behind_gaps = set(gaps.ends([figures.announced_time for figures in story.steps]))
    counted = [
        (figures.trainer.waited_s, figures.announced_time - before.announced_time)
        for before, figures in pairwise(story.steps)
        if figures.announced_time not in behind_gaps
        and not _any_between(begun, before.announced_time, figures.announced_time)
    ]
    whole_s = sum(span_s for _, span_s in counted)
    return min(1.0, sum(waited_s for waited_s, _ in counted) / whole_s) if whole_s else None


def _any_between(times: Sequence[float], start: float, end: float) -> bool:
    """One of these times, which are in order, lies between two others.

    >>> _any_between([3, 7], 3, 8), _any_between([3, 7], 3, 7)
    (True, False)
    """
    return bisect.bisect_right(times, start) < bisect.bisect_left(times, end)
