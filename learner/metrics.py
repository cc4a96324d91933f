"""A run step by step: a fold of LOG and POLICIES into the figures of each optimizer step. Pure.

The reward of a step is the mean over every group whose rewards the learner recomputed between the
batch before it and its own: accepted with and without signal, and refused although recomputed (a
false claim). So neither the selection of groups with signal nor a liar flatters the curve.

A step is complete when its batch is cut and the policy that the batch makes is announced. Steps
come in their order, and their figures depend on the two logs alone, not on when they are read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from broker.logbook import LogItem, PolicyItem
from broker.purged import purge_name
from broker.tally import verdict_name
from learner.coordinator.advantages import has_signal
from schemas import ledger
from schemas.batch import Batch, staleness
from schemas.policy import PolicyAnnouncement, PolicyId, StepMetrics
from schemas.trainer_events import StepSkipped, TrainerEntry

EDGE_STEPS: Final = 10
"""How many steps `edges` takes at either end: one step alone is mostly chance."""


class StepFigures(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One optimizer step, as one line of metrics.jsonl."""

    step: int
    policy: str
    """Incarnation and version that the step made."""
    cut_time: float
    """Unix seconds on the broker's clock, when the batch was written."""
    announced_time: float
    """Unix seconds on the broker's clock, when the policy was announced."""
    trained_on: str
    """The reward part that is trained on: `reward` is its mean."""
    reward: float | None
    """Mean over all recomputed rollouts since the batch before; None when there was none."""
    parts: dict[str, float]
    """The same mean of every reward part, by its name."""
    num_rollouts: int
    """Recomputed rollouts that the means are over."""
    judged: dict[str, int]
    """Messages by verdict, a rejection by its reason; those purged without one by theirs."""
    num_without_signal: int
    """Accepted groups whose rewards are all equal."""
    num_dropped: int
    """Accepted groups that had grown too old for this batch."""
    num_leases: int
    """Issued since the batch before."""
    staleness_mean: float
    staleness_max: int
    staleness_rows: tuple[int, ...]
    """Rows of the batch with staleness 0, 1, 2, ... up to the largest."""
    rows_by_actor: dict[str, int]
    skipped: bool
    """The update was not finite, and left out."""
    trainer: StepMetrics
    """What the trainer saw in this step."""


class _Interval(Struct, kw_only=True):
    """What the log says between two batches."""

    judged: Counter[str] = msgspec.field(default_factory=Counter)
    sums: dict[str, float] = {}
    """Of recomputed rewards by part."""
    num_rollouts: int = 0
    num_without_signal: int = 0
    num_dropped: int = 0
    num_leases: int = 0


class _Cut(Struct, frozen=True, kw_only=True):
    """A batch, and the interval that ends with it."""

    time: float
    batch: Batch
    interval: _Interval


class MetricsFold:
    """Takes items of both logs, each log in its order, and gives the steps that they complete."""

    def __init__(self) -> None:
        self.opened: ledger.RunOpened | None = None
        self.num_steps = 0
        """Given so far: the last step that is complete."""
        self._interval = _Interval()
        self._cuts: dict[int, _Cut] = {}
        """Of steps that are not announced yet."""
        self._announced: dict[int, tuple[float, PolicyAnnouncement]] = {}
        """The first to announce each version whose step is not complete."""
        self._skipped: set[PolicyId] = set()
        """What the steps made whose update was left out."""
        self._last_log = 0
        self._last_policy = 0

    @property
    def finished(self) -> bool:
        """The run has as many steps as it was opened for."""
        return self.opened is not None and self.num_steps >= self.opened.settings.trainer.num_steps

    def add_log(self, item: LogItem) -> list[StepFigures]:
        """Fold the next record of LOG; one that was folded before changes nothing."""
        if item.sequence <= self._last_log:
            return []
        self._last_log = item.sequence
        match item.content:
            case ledger.LedgerEntry(events=events):
                for event in events:
                    self._add_event(event)
            case Batch(step=step) as batch:
                self._cuts[step] = _Cut(time=item.time, batch=batch, interval=self._interval)
                self._interval = _Interval()
        return self._complete()

    def add_policy(self, item: PolicyItem) -> list[StepFigures]:
        """Fold the next record of POLICIES; one that was folded before changes nothing."""
        if item.sequence <= self._last_policy:
            return []
        self._last_policy = item.sequence
        match item.content:
            case TrainerEntry(event=StepSkipped(incarnation=incarnation, step=step)):
                self._skipped.add(PolicyId(incarnation, step))
            case PolicyAnnouncement(policy=policy) if policy.version > self.num_steps:
                self._announced.setdefault(policy.version, (item.time, item.content))
        return self._complete()

    def _add_event(self, event: ledger.LedgerEvent) -> None:
        match event:
            case ledger.RunOpened():
                self.opened = event
            case ledger.LeaseIssued():
                self._interval.num_leases += 1
            case ledger.GroupsDropped(lease_ids=lease_ids):
                self._interval.num_dropped += len(lease_ids)
            case ledger.GroupAccepted() | ledger.GroupRefused():
                self._add_verdict(event)
            case ledger.MessagesPurged(reason=reason, num_messages=num_messages) if num_messages:
                self._interval.judged[purge_name(reason)] += num_messages

    def _add_verdict(self, event: ledger.VerdictEvent) -> None:
        interval = self._interval
        interval.judged[verdict_name(event)] += 1
        interval.num_rollouts += len(event.rewards)
        for part in event.parts:
            interval.sums[part.name] = interval.sums.get(part.name, 0.0) + sum(part.values)
        if isinstance(event, ledger.GroupAccepted) and not has_signal(event.rewards):
            interval.num_without_signal += 1

    def _complete(self) -> list[StepFigures]:
        steps: list[StepFigures] = []
        while (step := self.num_steps + 1) in self._cuts and step in self._announced:
            assert self.opened is not None, "a log begins with RunOpened"
            time, announcement = self._announced.pop(step)
            trained_on = self.opened.environment.train_on
            skipped = announcement.policy in self._skipped
            cut = self._cuts.pop(step)
            steps.append(_figures(cut, time, announcement, trained_on, skipped=skipped))
            self.num_steps = step
        return steps


def _figures(
    cut: _Cut,
    announced_time: float,
    announcement: PolicyAnnouncement,
    trained_on: str,
    *,
    skipped: bool,
) -> StepFigures:
    interval, batch = cut.interval, cut.batch
    parts = {name: total / interval.num_rollouts for name, total in interval.sums.items()}
    lags = Counter(staleness(batch.step, row.policy.version) for row in batch.rows)
    return StepFigures(
        step=batch.step,
        policy=str(announcement.policy),
        cut_time=cut.time,
        announced_time=announced_time,
        trained_on=trained_on,
        reward=parts.get(trained_on),
        parts=parts,
        num_rollouts=interval.num_rollouts,
        judged=dict(interval.judged),
        num_without_signal=interval.num_without_signal,
        num_dropped=interval.num_dropped,
        num_leases=interval.num_leases,
        staleness_mean=sum(lag * rows for lag, rows in lags.items()) / len(batch.rows),
        staleness_max=max(lags),
        staleness_rows=tuple(lags[lag] for lag in range(max(lags) + 1)),
        rows_by_actor=dict(Counter(row.actor for row in batch.rows)),
        skipped=skipped,
        trainer=announcement.metrics,
    )


def mean_reward(steps: Iterable[StepFigures]) -> float | None:
    """Mean reward of the rollouts of several steps; None when there is none."""
    seen = [(each.reward, each.num_rollouts) for each in steps if each.reward is not None]
    count = sum(num_rollouts for _, num_rollouts in seen)
    return sum(reward * num_rollouts for reward, num_rollouts in seen) / count if count else None


def edges(steps: Sequence[StepFigures]) -> tuple[float, float] | None:
    """Mean reward of all rollouts of the first and of the last EDGE_STEPS together.

    None where nothing was scored.
    """
    first, last = mean_reward(steps[:EDGE_STEPS]), mean_reward(steps[-EDGE_STEPS:])
    return None if first is None or last is None else (first, last)


def to_line(figures: StepFigures) -> bytes:
    """A line of metrics.jsonl; equal figures give equal bytes."""
    return msgspec.json.encode(figures, order="deterministic") + b"\n"


def read_lines(data: bytes) -> list[StepFigures]:
    """The steps of a metrics.jsonl. Raises msgspec.DecodeError when it is none."""
    return msgspec.json.Decoder(StepFigures).decode_lines(data)
