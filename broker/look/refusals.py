"""What was refused in a run: by reason, by actor, by time, with a kept sample of each. And what was
purged, which nobody has looked at and no verdict tells of.

Of the first messages of each actor and reason the coordinator keeps the bytes, in object storage:
a sample is named by its message, which `broker show` takes, and by the key of its object.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from broker.inventory import short_name
from broker.logbook import LogItem
from broker.look.fields import REASONS
from broker.look.who import NOBODY, the_actor
from broker.removed import Removals, Removed
from schemas import ledger, names
from schemas.errors import UserError
from schemas.nearest import instead
from schemas.purge import PurgeReason

_MOST_SPANS: Final = 12
_LENGTHS_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200)
_DAY_S: Final = 86_400


class Sample(Struct, frozen=True, kw_only=True):
    """A refused message whose bytes were kept."""

    message: str
    """Shard and sequence, as `broker show` takes it."""
    key: str
    """Of the object that has its bytes."""


class ByReason(Struct, frozen=True, kw_only=True):
    """All that was refused for one reason."""

    reason: str
    """That of a rejection, or `stale`, `late`, `duplicate`."""
    num_refused: int
    num_actors: int
    first_time: float
    """Unix seconds, when the verdict was stored."""
    last_time: float
    last_detail: str
    """As the last of these actors was told."""
    sample: Sample | None
    """The newest; None where none was kept."""


class ByActor(Struct, frozen=True, kw_only=True):
    """All that was refused of one actor."""

    actor: str
    num_accepted: int
    num_refused: int
    reasons: dict[str, int]
    last_time: float
    sample: Sample | None


class Span(Struct, frozen=True, kw_only=True):
    """One of several equal lengths of time, from the first verdict to the last."""

    start: float
    end: float
    num_accepted: int
    reasons: dict[str, int]


class ByPurge(Struct, frozen=True, kw_only=True):
    """All that was purged of one actor, or of several at once, for one reason."""

    actor: str | None
    """None: of several, and nothing says how many of each."""
    reason: PurgeReason
    num_messages: int
    last_time: float


class Refused(Struct, frozen=True, kw_only=True):
    """What `broker refused --json` prints."""

    run: str
    num_judged: int
    num_refused: int
    by_reason: tuple[ByReason, ...]
    """Those with the most refusals first; so are actors."""
    by_actor: tuple[ByActor, ...]
    by_time: tuple[Span, ...]
    num_purged: int = 0
    """Removed without a verdict: none of them are among those above."""
    by_purge: tuple[ByPurge, ...] = ()
    """Those with the most messages first."""


class Timed(NamedTuple):
    """A verdict, and when it was stored."""

    time: float
    event: ledger.VerdictEvent

    @property
    def reason(self) -> str:
        """Why it was refused, in a word; nothing for what was accepted."""
        match self.event:
            case ledger.GroupRefused(reason=reason, outcome=outcome):
                return str(reason or outcome)
            case ledger.GroupAccepted():
                return ""


class Purge(NamedTuple):
    """What a purge took, and when that was told."""

    time: float
    removed: Removed


class Verdicts:
    """All verdicts and purges of a log, with their times. What is said twice counts once."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, int, str], Timed] = {}
        self._removals = Removals()
        self.purges: list[Purge] = []

    def add(self, item: LogItem) -> None:
        """Enter the next record of LOG."""
        if not isinstance(item.content, ledger.LedgerEntry):
            return
        for event in item.content.events:
            match event:
                case ledger.GroupAccepted() | ledger.GroupRefused():
                    identity = (event.stream, event.sequence, event.sha256)
                    self._all.setdefault(identity, Timed(item.time, event))
                case ledger.PurgeBegun() | ledger.MessagesPurged():
                    if removed := self._removals.enter(event):
                        self.purges.append(Purge(item.time, removed))
                case _:
                    pass

    def __iter__(self) -> Iterator[Timed]:
        return iter(self._all.values())


def refused(
    run: str,
    verdicts: Sequence[Timed],
    purges: Sequence[Purge] = (),
    *,
    actor: str = "",
    reason: str = "",
    called: Mapping[str, str] = NOBODY,
) -> Refused:
    """Count refusals and purges: all, or those of one actor, or for one reason.

    Raises:
        UserError: nobody of this name got a verdict, or nothing is refused for such a reason.
    """
    reasons = {*REASONS, *map(str, PurgeReason)}
    if reason and reason not in reasons:
        raise UserError(f"a run refuses nothing for {reason[:80]}; {instead(reason, reasons)}")
    if actor:
        judged = {each.event.actor for each in verdicts}
        actor = the_actor(actor, judged | {who for _, one in purges if (who := one.actor)}, called)
    chosen = [
        each
        for each in verdicts
        if actor in ("", each.event.actor) and (not reason or each.reason in ("", reason))
    ]
    bad = [each for each in chosen if each.reason]
    gone = [
        each
        for each in purges
        if actor in ("", each.removed.actor) and reason in ("", each.removed.reason)
    ]
    return Refused(
        run=run,
        num_judged=len(chosen),
        num_refused=len(bad),
        by_reason=tuple(
            _by_reason(run, why, [each for each in bad if each.reason == why])
            for why, _ in Counter(each.reason for each in bad).most_common()
        ),
        by_actor=tuple(
            _by_actor(run, who, [each for each in chosen if each.event.actor == who])
            for who, _ in Counter(each.event.actor for each in bad).most_common()
        ),
        by_time=tuple(_spans(chosen)) if bad else (),
        num_purged=sum(each.removed.num_messages for each in gone),
        by_purge=tuple(_by_purge(gone)),
    )


def _by_purge(purges: Iterable[Purge]) -> list[ByPurge]:
    alike: dict[tuple[str | None, PurgeReason], list[Purge]] = {}
    for each in purges:
        alike.setdefault((each.removed.actor, each.removed.reason), []).append(each)
    found = [
        ByPurge(
            actor=actor,
            reason=reason,
            num_messages=sum(each.removed.num_messages for each in of_it),
            last_time=of_it[-1].time,
        )
        for (actor, reason), of_it in alike.items()
    ]
    return sorted(found, key=lambda each: -each.num_messages)


def _by_reason(run: str, reason: str, bad: Sequence[Timed]) -> ByReason:
    last = bad[-1].event
    return ByReason(
        reason=reason,
        num_refused=len(bad),
        num_actors=len({each.event.actor for each in bad}),
        first_time=bad[0].time,
        last_time=bad[-1].time,
        last_detail=last.detail if isinstance(last, ledger.GroupRefused) else "",
        sample=_sample(run, bad),
    )


def _by_actor(run: str, actor: str, judged: Sequence[Timed]) -> ByActor:
    bad = [each for each in judged if each.reason]
    return ByActor(
        actor=actor,
        num_accepted=len(judged) - len(bad),
        num_refused=len(bad),
        reasons=_reasons(bad),
        last_time=bad[-1].time,
        sample=_sample(run, bad),
    )


def _reasons(bad: Iterable[Timed]) -> dict[str, int]:
    return dict(Counter(each.reason for each in bad if each.reason).most_common())


def _sample(run: str, bad: Sequence[Timed]) -> Sample | None:
    for _, event in reversed(bad):
        if isinstance(event, ledger.GroupRefused) and event.sample_kept:
            message = f"{short_name(run, event.stream)}:{event.sequence}"
            return Sample(message=message, key=names.refused_key(run, event.sha256))
    return None


def _spans(judged: Sequence[Timed]) -> Iterator[Span]:
    first = min(each.time for each in judged)
    last = max(each.time for each in judged)
    length = span_length(first, last)
    start, num_spans = first // length, int(last // length - first // length) + 1
    parts: list[list[Timed]] = [[] for _ in range(num_spans)]
    for each in judged:
        parts[int(each.time // length - start)].append(each)
    for number, part in enumerate(parts):
        yield Span(
            start=(start + number) * length,
            end=(start + number + 1) * length,
            num_accepted=sum(not each.reason for each in part),
            reasons=_reasons(part),
        )


def span_length(first: float, last: float) -> int:
    """Seconds of the shortest spans, each on a round time of day, of which a few cover both times.

    >>> span_length(1000.0, 1000.5), span_length(1000.0, 1100.0), span_length(0.0, 40.0 * 86_400)
    (1, 10, 345600)
    """
    for length in _LENGTHS_S:
        if last // length - first // length < _MOST_SPANS:
            return length
    days = 1
    while last // (days * _DAY_S) - first // (days * _DAY_S) >= _MOST_SPANS:
        days += 1
    return days * _DAY_S
