"""One round of intake, decided: cases in, verdicts out, as events for the ledger. Pure."""

from collections.abc import Mapping, Sequence, Set

from learner.coordinator import verdicts
from learner.coordinator.case import Case
from learner.coordinator.known import KnownPolicies
from learner.coordinator.state import RunState
from schemas import ledger
from schemas.verdict import Outcome, Reason, Verdict


def to_archive(cases: Sequence[Case]) -> list[Case]:
    """The groups that may be accepted: of the answers to one lease, the first in the queue."""
    first: dict[int, Case] = {}
    for one in sorted(cases, key=lambda one: one.sequence):
        if one.hopeful and one.finding is not None and one.finding.claim is not None:
            first.setdefault(one.finding.claim.lease_id, one)
    return list(first.values())


def decide(
    state: RunState,
    known: KnownPolicies,
    cases: Sequence[Case],
    segment: str,
    offsets: Mapping[int, int],
    samples: Set[int],
) -> list[ledger.VerdictEvent]:
    """The verdicts of a round, in the order of the queue.

    `segment` and `offsets` (by sequence) say where those of `to_archive` stand in the archive,
    `samples` which refused ones were kept. What already has a verdict, or was purged, gets none.
    """
    events: list[ledger.VerdictEvent] = []
    answered: set[int] = set()
    """Of the answers to one lease the first one counts."""
    for one in sorted(cases, key=lambda one: one.sequence):
        record = one.delivery.record
        if state.is_settled(record, one.sha256):
            continue
        why = _refusal(one, state, known, answered)
        if why is None:
            assert one.finding is not None
            event = verdicts.accepted_event(
                record, one.sha256, one.actor, one.finding, segment, offsets[record.sequence]
            )
            answered.add(event.lease_id)
        else:
            event = verdicts.refused_event(
                state, record, one.sha256, one.actor, one.finding, why, one.sequence in samples
            )
            if event.closes_lease and event.lease_id is not None:
                answered.add(event.lease_id)
        events.append(event)
    return events


def _refusal(
    one: Case, state: RunState, known: KnownPolicies, answered: set[int]
) -> verdicts.Refusal | None:
    if one.subject is None or one.finding is None:
        return one.refusal
    if why := verdicts.cut_off(state, one.subject.actor):
        return why
    # A second look may only be stricter: what was refused at the first is not in the archive.
    return verdicts.refusal(state, known, one.subject, one.finding, answered) or one.refusal


def word(event: ledger.VerdictEvent) -> Verdict:
    """What the actor is told."""
    refused = isinstance(event, ledger.GroupRefused)
    return Verdict(
        stream=event.stream,
        sequence=event.sequence,
        sha256=event.sha256,
        actor=event.actor,
        lease_id=event.lease_id,
        outcome=event.outcome if refused else Outcome.ACCEPTED,
        reason=event.reason if refused else Reason.NONE,
        detail=event.detail if refused else "",
    )
