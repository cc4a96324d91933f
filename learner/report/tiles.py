"""The numbers at the top. One that would say that something never happened is left out."""

from collections.abc import Iterator

from learner.metrics import EDGE_STEPS, edges
from learner.report.markup import tag, words
from learner.report.story import Story


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
    tally, rows = story.tally, story.rows
    num_accepted, num_quiet = len(tally.accepted), len(tally.without_signal)
    trained_on = story.opened.environment.train_on
    if found := edges(rows):
        name = f"mean reward ({trained_on}), first and last {EDGE_STEPS} steps"
        yield f"{found[0]:.2f} → {found[1]:.2f}", name
    if num_quiet:
        name = f"of {num_accepted:,} accepted groups without signal ({num_quiet:,}): in no batch"
        yield f"{num_quiet / num_accepted:.0%}", name
    else:
        yield f"{num_accepted:,}", "accepted groups, all with signal"
    if num_refused := len(story.verdicts) - num_accepted:
        yield f"{num_refused:,}", "messages refused, each with a reason"
    yield f"{len(story.actors)}", "actors"
    if story.kills:
        yield f"{len(story.kills)}", "kills"
    if rows:
        waited_s = sum(row.trainer.waited_s for row in rows)
        share = f"{waited_s / story.seconds(rows[-1].announced_time):.0%}"
        yield share, "of the time the trainer waited for a batch"
