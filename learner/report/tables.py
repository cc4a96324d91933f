"""The report's tables: who sent what, and what the trainer saw in each step."""

from collections import Counter

from broker.tally import LeaseEnd
from learner.deeds import START
from learner.metrics import StepRow
from learner.report.markup import table, tag, words
from learner.report.story import Story, verdicts_of
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
    return table(heads, (_actor(story, actor) for actor in story.actors), class_="numbers")


def _actor(story: Story, actor: str) -> tuple[str, ...]:
    tally = story.tally
    leases = [lease.lease_id for lease in tally.leases.values() if lease.actor == actor]
    verdicts = verdicts_of(story, actor)
    accepted = {event.lease_id for event in verdicts if isinstance(event, ledger.GroupAccepted)}
    rewards = [reward for event in verdicts for reward in event.rewards]
    ends = Counter(end for lease in leases for end in tally.ends.get(lease, []))
    rows = sum(tally.rows[lease] for lease in accepted)
    starts = sum(mark.who == actor and mark.what == START for mark in story.deeds.marks)
    lie = story.is_liar(actor)
    name = tag("span", words(story.name(actor)), title=words(actor), class_="lie" if lie else "")
    return (
        name,
        f"{len(leases):,}",
        f"{len(accepted):,}",
        f"{len(accepted & tally.without_signal):,}",
        f"{rows:,}",
        _refusals(verdicts) or "0",
        f"{ends[LeaseEnd.EXPIRED]:,}",
        f"{ends[LeaseEnd.ABANDONED]:,}",
        f"{sum(rewards) / len(rewards):.2f}" if rewards else "",
        f"{starts}",
    )


def _refusals(verdicts: list[ledger.VerdictEvent]) -> str:
    counts = Counter(
        str(event.reason) if event.outcome is Outcome.REJECTED else str(event.outcome)
        for event in verdicts
        if isinstance(event, ledger.GroupRefused)
    )
    return ", ".join(f"{count:,} {words(reason)}" for reason, count in counts.most_common())


def steps(story: Story) -> str:
    """One row per optimizer step."""
    heads = (
        "step",
        "reward",
        *_other_parts(story),
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
    return table(heads, (_step(story, row) for row in story.rows), class_="numbers")


def _other_parts(story: Story) -> list[str]:
    trained_on = story.opened.environment.train_on
    return sorted({name for row in story.rows for name in row.parts} - {trained_on})


def _step(story: Story, row: StepRow) -> tuple[str, ...]:
    accepted = row.judged.get(Outcome.ACCEPTED, 0)
    trainer = row.trainer
    return (
        str(row.step),
        "" if row.reward is None else f"{row.reward:.3f}",
        *(f"{row.parts[name]:.3f}" if name in row.parts else "" for name in _other_parts(story)),
        f"{accepted:,}",
        f"{sum(row.judged.values()) - accepted:,}",
        f"{row.num_without_signal:,}",
        f"{row.staleness_mean:.1f} (max {row.staleness_max})",
        f"{trainer.loss:.4f}",
        f"{trainer.grad_norm:.3f}",
        f"{trainer.entropy:.3f}",
        f"{trainer.mismatch_kl:.2e}",
        f"{trainer.masked_fraction:.1%}",
        f"{trainer.num_tokens:,}",
        f"{trainer.step_s:.2f}",
        f"{trainer.publish_s:.2f}",
        f"{trainer.waited_s:.2f}",
    )
