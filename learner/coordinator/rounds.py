"""One round of intake, decided: judged messages in, ledger events out. Pure."""

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from broker.interface import Delivery
from learner.coordinator import verdicts
from learner.coordinator.judgement import Judgement
from learner.coordinator.known import KnownPolicies
from learner.coordinator.state import RunState
from schemas import ledger
from schemas.names import RolloutsSubject
from schemas.verdict import Outcome, Reason, Verdict


class Judged(Struct, frozen=True, kw_only=True):
    """A delivery with what the worker, or the subject alone, said about it."""

    delivery: Delivery
    sha256: str
    actor: str
    """From the subject; `unknown` when the subject is not that of a group."""
    subject: RolloutsSubject | None = None
    judgement: Judgement | None = None
    refusal: verdicts.Refusal | None = None
    """As of the moment when it was judged; decided again when the round is written."""

    @property
    def sequence(self) -> int:
        return self.delivery.record.sequence

    @property
    def hopeful(self) -> bool:
        """True when it may be accepted, so that its bytes belong in the archive."""
        return self.refusal is None and self.judgement is not None


def to_archive(judged: Sequence[Judged]) -> list[Judged]:
    """The groups that may be accepted: of the answers to one lease, the first in the queue."""
    first: dict[int, Judged] = {}
    for one in sorted(judged, key=lambda one: one.sequence):
        if one.hopeful and one.judgement is not None and one.judgement.claim is not None:
            first.setdefault(one.judgement.claim.lease_id, one)
    return list(first.values())


def decide(
    state: RunState,
    known: KnownPolicies,
    judged: Sequence[Judged],
    segment: str,
    offsets: Mapping[int, int],
    samples: Set[int],
) -> list[ledger.GroupAccepted | ledger.GroupRefused]:
    """The verdicts of a round, in the order of the queue.

    `segment` and `offsets` (by sequence) say where those of `to_archive` stand in the archive,
    `samples` which refused ones were kept. What already has a verdict gets none again.
    """
    events: list[ledger.GroupAccepted | ledger.GroupRefused] = []
    answered: set[int] = set()
    for one in sorted(judged, key=lambda one: one.sequence):
        record = one.delivery.record
        if state.verdicts.get((record.stream, record.sequence)) == one.sha256:
            continue
        why = _refusal(one, state, known, answered)
        if why is None:
            assert one.judgement is not None
            event = verdicts.accepted_event(
                record, one.sha256, one.actor, one.judgement, segment, offsets[record.sequence]
            )
            answered.add(event.lease_id)
        else:
            event = verdicts.refused_event(
                state, record, one.sha256, one.actor, one.judgement, why, one.sequence in samples
            )
            if event.closes_lease and event.lease_id is not None:
                answered.add(event.lease_id)
        events.append(event)
    return events


def _refusal(
    one: Judged, state: RunState, known: KnownPolicies, answered: set[int]
) -> verdicts.Refusal | None:
    if one.subject is None or one.judgement is None:
        return one.refusal
    claim = one.judgement.claim
    if claim is not None and one.judgement.lease_is_open and claim.lease_id in answered:
        # Two messages of one round answer one lease: the first one counts.
        return Outcome.DUPLICATE, Reason.NONE, f"lease {claim.lease_id} is already answered"
    # A second look may only be stricter: what was refused at the first is not in the archive.
    return verdicts.refusal(state, known, one.subject, one.judgement) or one.refusal


def word(event: ledger.GroupAccepted | ledger.GroupRefused) -> Verdict:
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
