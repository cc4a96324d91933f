"""The page around the pictures. Pure: a story and the groups to show in, one HTML document out."""

from collections.abc import Iterator
from importlib import resources

from learner import events, report
from learner.report import (
    flow,
    kills,
    lanes,
    multiples,
    provenance,
    rewards,
    rollouts,
    staleness,
    tables,
    tiles,
)
from learner.report.groups import ShownGroup
from learner.report.markup import table, tag, words
from learner.report.story import Story
from schemas.ledger import GroupRefused
from schemas.policy import PolicyManifest

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Of the content: nothing is loaded and no script runs, whatever the text contains."""
_REFUSED_TOO = ", those of refused groups with false claims included"
_BESIDE = (
    " A message without an open lease answers none: it came twice, or too late, or names no lease "
    "of its sender. It is judged and counted too."
)


def page(
    story: Story,
    *,
    used: ShownGroup | None,
    refused: ShownGroup | None,
    model: PolicyManifest | None,
) -> str:
    """The whole document; `model` is the last policy."""
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
            tag("p", words(provenance.lead(story, model)), class_="lead"),
            tiles.draw(story),
            _findings(story),
            *_reward_pictures(story),
            *_flow_pictures(story),
            *_groups(story, used, refused),
            *_tables(story),
            tag("h2", "What was run"),
            provenance.draw(story, model),
        )
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _findings(story: Story) -> str:
    found = [each for each in story.events if isinstance(each, events.Checked)]
    if not found:
        return ""
    lines = (tag("li", words(each.text), class_="" if each.holds else "broken") for each in found)
    return tag("ul", *lines, class_="findings")


def _reward_pictures(story: Story) -> Iterator[str]:
    refused = any(event.rewards for event in story.verdicts if isinstance(event, GroupRefused))
    yield tag("h2", "Reward")
    yield tag(
        "p",
        "Mean over every rollout that the learner scored itself between two batches"
        f"{_REFUSED_TOO if refused else ''}. Faint: each step; strong: running mean.",
        class_="lead",
    )
    if story.steps:
        yield tag("h3", "Against optimizer steps")
        yield _wide(rewards.against_steps(story))
    yield tag("h3", "Against wall-clock time, and what each process did")
    if rewards.stood_still(story):
        yield tag("p", "The lines are broken where no batch was cut for long.", class_="lead")
    yield _wide(rewards.against_time(story), lanes.legend(story))
    yield kills.as_table(story)
    if story.steps:
        yield tag("h2", "Beside the reward")
        yield tag("figure", multiples.draw(story))


def _flow_pictures(story: Story) -> Iterator[str]:
    beside = _BESIDE if flow.num_beyond(story.tally) else ""
    yield tag("h2", "Where every group went")
    yield tag("p", f"Nothing is dropped without a counted reason.{beside}", class_="lead")
    in_words = table(("from", "to", "count"), flow.as_table(story.tally), class_="numbers")
    yield _wide(flow.draw(story.tally), _folded("The same as a table", in_words))
    yield tag("h2", "How old the rows were")
    yield tag(
        "p",
        "Versions between the policy that sampled a group and the one that its batch trained.",
        class_="lead",
    )
    yield _wide(staleness.draw(story))


def _wide(drawn: str, *below: str) -> str:
    """A picture with small words in it: it scrolls where there is no room for them."""
    return tag("figure", tag("div", drawn, class_="scroll wide"), *below)


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
    if story.steps:
        yield tag("h2", "Steps")
        yield _folded(f"Figures of all {len(story.steps)} steps", tables.steps(story))


def _folded(summary: str, content: str) -> str:
    return tag("details", tag("summary", words(summary)), content)
