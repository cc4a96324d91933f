"""The report's tables: who sent what, and what the trainer saw in each step."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from statistics import fmean

from broker.tally import LeaseEnd, Tally
from learner.deeds import START
from learner.metrics import StepFigures
from learner.report.markup import table, tag, words
from learner.report.story import Story
from schemas import ledger
from schemas.verdict import Outcome


def actors(story: Story) -> str:
    """One row per actor."""
    heads = (
        "actor",
        "leases",
        "accepted",
        "of them no signal",
        "in batches",
        "refused",
        "expired",
        "abandoned",
        "mean reward",
        "starts",
    )
    columns = _columns(story)
    rows = ((_name(story, actor), *(c(actor) for c in columns)) for actor in story.actors)
    return table(heads, rows, class_="numbers")


def _columns(story: Story) -> list[Callable[[str], str]]:
    """What each column says of an actor. One pass over the run each, not one for every actor."""
    tally, quiet = story.tally, story.tally.without_signal
    refusals: dict[str, Counter[str]] = defaultdict(Counter)
    rewards: dict[str, list[float]] = defaultdict(list)
    for event in story.verdicts:
        rewards[event.actor] += event.rewards
        if isinstance(event, ledger.GroupRefused):
            rejected = event.outcome is Outcome.REJECTED
            refusals[event.actor][str(event.reason if rejected else event.outcome)] += 1
    for actor, counts in story.purged.items():
        refusals[actor].update(counts)
    return [
        _count(lease.actor for lease in tally.leases.values()),
        _count(event.actor for event in tally.accepted),
        _count(event.actor for event in tally.accepted if event.lease_id in quiet),
        _count(row.actor for _, row in tally.placed_rows()),
        lambda actor: _refusals(refusals[actor]),
        _count(_ended(tally, LeaseEnd.EXPIRED)),
        _count(_ended(tally, LeaseEnd.ABANDONED)),
        lambda actor: f"{fmean(rewards[actor]):.2f}" if rewards[actor] else "",
        _count(mark.who for mark in story.deeds.marks if mark.what == START),
    ]


def _count(actors: Iterable[str]) -> Callable[[str], str]:
    counts = Counter(actors)
    return lambda actor: f"{counts[actor]:,}"


def _ended(tally: Tally, end: LeaseEnd) -> Iterator[str]:
    """The actor of every lease that ended like that."""
    return (
        lease.actor for lease in tally.leases.values() if end in tally.ends.get(lease.lease_id, ())
    )


def _name(story: Story, actor: str) -> str:
    class_ = "lie" if story.is_liar(actor) else ""
    return tag("span", words(story.name(actor)), title=words(actor), class_=class_)


def _refusals(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {words(reason)}" for reason, count in counts.most_common()) or "0"


def steps(story: Story) -> str:
    """One row per optimizer step."""
    others = _other_parts(story)
    heads = (
        "step",
        "reward",
        *others,
        "accepted",
        "refused",
        "no signal",
        "staleness",
        "loss",
        "grad norm",
        "entropy",
        "mismatch KL",
        "masked",
        "tokens",
        "step s",
        "publish s",
        "waited s",
    )
    return table(heads, (_step(figures, others) for figures in story.steps), class_="numbers")


def _other_parts(story: Story) -> list[str]:
    trained_on = story.opened.environment.train_on
    return sorted({name for figures in story.steps for name in figures.parts} - {trained_on})


def _step(figures: StepFigures, others: list[str]) -> tuple[str, ...]:
    accepted = figures.judged.get(Outcome.ACCEPTED, 0)
    trainer = figures.trainer
    return (
        str(figures.step),
        "" if figures.reward is None else f"{figures.reward:.3f}",
        *(f"{figures.parts[name]:.3f}" if name in figures.parts else "" for name in others),
        f"{accepted:,}",
        f"{sum(figures.judged.values()) - accepted:,}",
        f"{figures.num_without_signal:,}",
        f"{figures.staleness_mean:.1f} (max {figures.staleness_max})",
        f"{trainer.loss:.4f}",
        "skipped" if figures.skipped else f"{trainer.grad_norm:.3f}",
        f"{trainer.entropy:.3f}",
        f"{trainer.mismatch_kl:.2e}",
        f"{trainer.masked_fraction:.1%}",
        f"{trainer.num_tokens:,}",
        f"{trainer.step_s:.2f}",
        f"{trainer.publish_s:.2f}",
        f"{trainer.waited_s:.2f}",
    )
