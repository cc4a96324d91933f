"""The page around the pictures. Pure: a story and the groups to show in, one HTML document out."""

from collections.abc import Iterator
from importlib import resources

from learner import events, report
from learner.metrics import mean_reward
from learner.report import flow, rewards, rollouts, staleness, tables
from learner.report.groups import ShownGroup
from learner.report.markup import table, tag, words
from learner.report.story import Story

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Of the content: nothing is loaded and no script runs, whatever the text contains."""
_EDGE_STEPS = 10
"""First and last steps that the headline compares."""


def page(story: Story, *, used: ShownGroup | None, refused: ShownGroup | None) -> str:
    """The whole document."""
    run = words(story.opened.settings.name)
    style = resources.files(report).joinpath("style.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Run {run}</title><style>{style}</style>"
    )
    body = "".join(
        (
            tag("h1", f"Run {run}"),
            tag("p", words(_lead(story)), class_="lead"),
            _cards(story),
            _findings(story),
            *_reward_pictures(story),
            *_flow_pictures(story),
            *_groups(story, used, refused),
            *_tables(story),
        )
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _lead(story: Story) -> str:
    settings, environment = story.opened.settings, story.opened.environment
    return (
        f"Task {environment.id} {environment.smallest} to {environment.largest}, trained on the "
        f"reward part {environment.train_on}; {len(story.rows)} optimizer steps of "
        f"{settings.batch.num_groups} groups of {settings.sampling.group_size} rollouts, at most "
        f"{settings.leases.max_staleness} versions behind."
    )


def _cards(story: Story) -> str:
    first, last = (
        mean_reward(story.rows[part])
        for part in (slice(None, _EDGE_STEPS), slice(-_EDGE_STEPS, None))
    )
    judged = [event for verdicts in story.tally.judged.values() for event in verdicts]
    kills = sum(isinstance(each, events.Killed) for each in story.events)
    trained_on = story.opened.environment.train_on
    waited = sum(row.trainer.waited_s for row in story.rows)
    length = story.seconds(story.rows[-1].announced_time) if story.rows else 0.0
    cards = [
        (
            "" if first is None or last is None else f"{first:.2f} → {last:.2f}",
            f"mean reward ({trained_on}), first and last {_EDGE_STEPS} steps",
        ),
        (f"{len(story.tally.accepted):,}", "groups accepted"),
        (f"{len(judged) - len(story.tally.accepted):,}", "messages refused, each with a reason"),
        (f"{len(story.actors)}", "actors"),
        (f"{kills}", "processes killed"),
        (f"{waited / length:.0%}" if length else "", "of the time the trainer waited for a batch"),
    ]
    return tag(
        "div",
        *(
            tag("div", tag("b", words(value)), tag("span", words(name)), class_="card")
            for value, name in cards
            if value
        ),
        class_="cards",
    )


def _findings(story: Story) -> str:
    found = [each for each in story.events if isinstance(each, events.Finding)]
    if not found:
        return ""
    lines = (tag("li", words(each.text), class_="" if each.holds else "broken") for each in found)
    return tag("ul", *lines, class_="findings")


def _reward_pictures(story: Story) -> Iterator[str]:
    yield tag("h2", "Reward")
    yield tag(
        "p",
        "Mean over every rollout that the learner scored itself between two batches, those of "
        "refused groups with false claims included. Faint: each step; strong: running mean.",
        class_="lead",
    )
    if story.rows:
        yield tag("figure", rewards.against_steps(story))
    yield tag("figure", rewards.against_time(story), _legend())
    yield rewards.kill_list(story)


def _legend() -> str:
    entries = (
        ("▲ process starts", ""),
        ("✕ killed", ""),
        ("| accepted", "accepted"),
        ("| batch cut, policy announced", "batch"),
        ("| stale", "stale"),
        ("| late", "late"),
        ("| rejected", "rejected"),
    )
    spans = (tag("span", words(text), class_=name) for text, name in entries)
    return tag("figcaption", *spans, class_="legend")


def _flow_pictures(story: Story) -> Iterator[str]:
    yield tag("h2", "Where every group went")
    yield tag("p", "Nothing is dropped without a counted reason.", class_="lead")
    in_words = table(("from", "to", "count"), flow.as_table(story.tally), class_="numbers")
    yield tag("figure", flow.draw(story.tally), _folded("The same as a table", in_words))
    yield tag("h2", "How old the rows were")
    yield tag(
        "p",
        "Versions between the policy that sampled a group and the one that its batch trained.",
        class_="lead",
    )
    yield tag("figure", staleness.draw(story))


def _groups(story: Story, used: ShownGroup | None, refused: ShownGroup | None) -> Iterator[str]:
    if used is None and refused is None:
        return
    yield tag("h2", "One group, rollout by rollout")
    yield tag(
        "p",
        "Grey text was rendered by the environment. The redder a token, the less likely it was "
        "when it was sampled.",
        class_="lead",
    )
    for shown in (used, refused):
        if shown is None:
            continue
        who = words(story.name(shown.group.actor))
        if shown.step is None:
            told = f"Refused, sent by {who}: {words(shown.detail)}"
        else:
            told = f"In batch {shown.step}: sent by {who}, sampled with policy {shown.group.policy}"
        class_ = "lie" if shown.step is None else ""
        yield tag("h3", told, class_=class_)
        yield tag("figure", rollouts.draw(story, shown))


def _tables(story: Story) -> Iterator[str]:
    yield tag("h2", "Actors")
    yield tables.actors(story)
    if story.rows:
        yield tag("h2", "Steps")
        yield _folded(f"Figures of all {len(story.rows)} steps", tables.steps(story))


def _folded(summary: str, content: str) -> str:
    return tag("details", tag("summary", words(summary)), content)
