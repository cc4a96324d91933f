"""From a finding to a verdict: the half of judging that depends on the run. Pure.

| looked at | by | verdicts |
|---|---|---|
| its subject | `read_subject` | subject |
| its sender, the version and policy in it | `subject_refusal` | cut-off, stale, policy-unknown |
| the message alone | `examination.read` | oversize, envelope, schema, subject-payload-mismatch |
| the policies of its tokens | `refusal` | policy-unknown |
| its lease | `refusal` | lease-unknown, lease-foreign, late, duplicate |
| what it answers, and how | `examination.recompute` | lease-terms, policy-older-than-lease |
| its rollouts | `environments.recorded` | tokens, rendering |
| its rewards | `examination.recompute` | reward-mismatch |

In this order, that of `schemas.verdict.Reason`: the first one is said. A worker has looked at its
rollouts by the time that its policies and its lease are decided on; what it found is said only
where these stand. What has a verdict already, or was purged, gets none.
"""

from collections.abc import Set

from broker.interface import Record
from learner.coordinator.finding import Claim, Finding
from learner.coordinator.known import KnownPolicies
from learner.coordinator.state import LeaseEnd, RunState
from schemas import ledger, names
from schemas.batch import staleness
from schemas.errors import Rejected
from schemas.names import RolloutsSubject
from schemas.policy import PolicyId
from schemas.verdict import Outcome, Reason

Refusal = tuple[Outcome, Reason, str]

_MAX_DETAIL_BYTES = 256
"""The sender chooses much of what a detail quotes, and LOG holds it for as long as the run."""


def read_subject(state: RunState, record: Record) -> RolloutsSubject:
    """Parse the subject and compare it with the stream.

    Raises:
        Rejected: it is not the subject of a group of this run, or of another shard.
    """
    subject = names.parse_rollouts_subject(record.subject)
    assert state.opened is not None
    run = state.opened.settings.name
    if subject.run != run or names.rollouts_stream(run, subject.shard) != record.stream:
        raise Rejected(Reason.SUBJECT, f"belongs to {subject.run}, shard {subject.shard}")
    return subject


def policy_of(subject: RolloutsSubject) -> PolicyId:
    """The policy that the sender says his group was made with."""
    return PolicyId(subject.incarnation, subject.version)


def subject_refusal(
    state: RunState, known: KnownPolicies, subject: RolloutsSubject
) -> Refusal | None:
    """Judge by the subject alone, before anything is decoded.

    A subject holds only so many messages, and whoever may invent versions has as many subjects as
    he likes: so what no policy of the run can have made is not looked at.
    """
    if why := cut_off(state, subject.actor):
        return why
    assert state.opened is not None
    limit = state.opened.settings.leases.max_staleness
    if staleness(state.next_step, subject.version) > limit:
        return (
            Outcome.STALE,
            Reason.NONE,
            f"made with version {subject.version}, step {state.next_step} takes "
            f"{state.next_step - 1 - limit} or newer",
        )
    policy = policy_of(subject)
    if known.manifest(policy) is None:
        return Outcome.REJECTED, Reason.POLICY_UNKNOWN, f"policy {policy} was never announced"
    return None


def cut_off(state: RunState, actor: str) -> Refusal | None:
    """Why nothing of this actor is accepted, whatever it is."""
    if state.is_cut_off(actor):
        return Outcome.REJECTED, Reason.CUT_OFF, "the sender is cut off"
    return None


def refusal(
    state: RunState,
    known: KnownPolicies,
    subject: RolloutsSubject,
    finding: Finding,
    answered: Set[int] = frozenset(),
) -> Refusal | None:
    """Why a message with this finding is refused; None when it is accepted.

    `answered` are open leases to which there is an answer that the state does not have yet.
    """
    claim = finding.claim
    wrong = Outcome.REJECTED, finding.reason, finding.detail
    if claim is None or (finding.reason and not finding.lease_is_open):
        return wrong  # It was not read as far as its lease.
    if why := _policy_refusal(known, claim):
        return why
    if finding.lease_is_open and claim.lease_id in answered:
        return Outcome.DUPLICATE, Reason.NONE, f"lease {claim.lease_id} is already answered"
    # A lease may have ended since the worker looked.
    if not finding.lease_is_open or claim.lease_id not in state.open_leases:
        return _lease_refusal(state, claim, subject.actor)
    return wrong if finding.reason else None


def _policy_refusal(known: KnownPolicies, claim: Claim) -> Refusal | None:
    if known.manifest(claim.policy) != claim.manifest_sha256:
        return Outcome.REJECTED, Reason.POLICY_UNKNOWN, f"policy {claim.policy} is not ours"
    for policy in claim.policies:
        if known.manifest(policy) is None:
            return Outcome.REJECTED, Reason.POLICY_UNKNOWN, f"policy {policy} is not ours"
    return None


def _lease_refusal(state: RunState, claim: Claim, actor: str) -> Refusal:
    lease_id = claim.lease_id
    if lease_id >= state.num_issued:
        return Outcome.REJECTED, Reason.LEASE_UNKNOWN, f"lease {lease_id} was never issued"
    ended = state.ended_leases.get(lease_id)
    holder = ended.actor if ended else state.open_leases[lease_id].lease.actor
    if holder != actor:
        return Outcome.REJECTED, Reason.LEASE_FOREIGN, f"lease {lease_id} is another actor's"
    if ended is None:
        # Numbers can be guessed: this lease was issued after its answer had been judged.
        detail = f"lease {lease_id} was not issued yet when its answer was judged"
        return Outcome.REJECTED, Reason.LEASE_UNKNOWN, detail
    if ended.end in (LeaseEnd.EXPIRED, LeaseEnd.ABANDONED):
        return Outcome.LATE, Reason.NONE, f"lease {lease_id} was {ended.end} before it arrived"
    return Outcome.DUPLICATE, Reason.NONE, f"lease {lease_id} is already {ended.end}"


def refused_event(
    state: RunState,
    record: Record,
    sha256: str,
    actor: str,
    finding: Finding | None,
    why: Refusal,
    sample_kept: bool,
) -> ledger.GroupRefused:
    """The ledger's word on a refused message."""
    outcome, reason, detail = why
    claim = finding.claim if finding else None
    # The lease may have ended since it was judged: by another answer, its deadline or its holder.
    closes_lease = (
        outcome is Outcome.REJECTED
        and finding is not None
        and finding.lease_is_open
        and claim is not None
        and claim.lease_id in state.open_leases
    )
    return ledger.GroupRefused(
        stream=record.stream,
        sequence=record.sequence,
        sha256=sha256,
        actor=actor,
        lease_id=claim.lease_id if claim else None,
        closes_lease=closes_lease,
        outcome=outcome,
        reason=reason,
        detail=detail.encode()[:_MAX_DETAIL_BYTES].decode(errors="ignore"),
        rewards=finding.rewards if finding else (),
        parts=finding.parts if finding else (),
        sample_kept=sample_kept,
    )


def accepted_event(
    record: Record,
    sha256: str,
    actor: str,
    finding: Finding,
    segment: str,
    offset: int,
) -> ledger.GroupAccepted:
    """The ledger's word on an accepted group."""
    assert finding.claim is not None
    return ledger.GroupAccepted(
        stream=record.stream,
        sequence=record.sequence,
        sha256=sha256,
        lease_id=finding.claim.lease_id,
        actor=actor,
        policy=finding.claim.policy,
        segment=segment,
        offset=offset,
        length=len(record.data),
        rewards=finding.rewards,
        parts=finding.parts,
        num_tokens=finding.num_tokens,
    )
