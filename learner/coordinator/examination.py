"""From a message to a finding: the half of judging that needs its bytes, the open leases of its
sender and the environment, and nothing else of the run. Runs in a worker process, because all of it
is hostile input.

The other half (was the lease used, is the policy known) is `learner.coordinator.verdicts`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from environments import recorded
from environments.interface import Environment
from learner.coordinator.finding import Claim, Finding
from learner.coordinator.job import PackedLeases
from schemas.errors import Rejected
from schemas.lease import Lease
from schemas.ledger import RewardPart
from schemas.names import RolloutsSubject
from schemas.policy import PolicyId
from schemas.rollout import MAX_SPANS, Rollout, RolloutGroup
from schemas.verdict import Reason
from schemas.wire import decode

_REWARD_TOLERANCE = 1e-6


class Answer(NamedTuple):
    """A group that answers an open lease of its sender."""

    claim: Claim
    group: RolloutGroup
    lease: Lease


def read(
    subject: RolloutsSubject, data: bytes, leases: PackedLeases, *, max_wire_bytes: int
) -> Answer | Finding:
    """Find the lease that a message answers; a finding when it answers none of these."""
    try:
        group = decode(data, RolloutGroup, max_wire_bytes=max_wire_bytes)
    except Rejected as refusal:
        return Finding(reason=refusal.reason, detail=refusal.detail)
    policies = sorted(
        {span.policy for rollout in group.rollouts for span in rollout.spans},
        key=lambda policy: policy.freshness,
    )
    claim = Claim(
        lease_id=group.lease_id,
        policy=group.policy,
        manifest_sha256=group.manifest_sha256,
        policies=tuple(policies[:MAX_SPANS]),
    )
    try:
        _check_identity(subject, group, policies)
    except Rejected as refusal:
        # The lease is left open: nothing shows that its holder meant to answer it.
        return Finding(reason=refusal.reason, detail=refusal.detail, claim=claim)
    if group.lease_id not in leases:
        return Finding(claim=claim)
    return Answer(claim, group, msgspec.msgpack.decode(leases[group.lease_id], type=Lease))


async def recompute(subject: RolloutsSubject, answer: Answer, environment: Environment) -> Finding:
    """Compare an answer with its lease, token by token, and compute its rewards again."""
    claim, group, lease = answer
    rewards: list[float] = []
    parts: dict[str, list[float]] = {}
    try:
        _check_terms(subject, answer)
        for rollout in group.rollouts:
            interaction = await recorded.verify(environment, lease.task, rollout, lease.sampling)
            rewards.append(interaction.reward)
            for part in interaction.parts:
                parts.setdefault(part.name, []).append(part.value)
    except Rejected as refusal:
        return Finding(
            reason=refusal.reason, detail=refusal.detail[:500], claim=claim, lease_is_open=True
        )
    reason, detail = _compare_rewards(group.rollouts, rewards)
    return Finding(
        reason=reason,
        detail=detail,
        claim=claim,
        lease_is_open=True,
        rewards=tuple(rewards),
        parts=tuple(RewardPart(name=name, values=tuple(parts[name])) for name in parts),
        num_tokens=tuple(len(rollout.loss_mask) for rollout in group.rollouts),
    )


def _check_identity(
    subject: RolloutsSubject, group: RolloutGroup, policies: Sequence[PolicyId]
) -> None:
    if len(policies) > MAX_SPANS:
        raise Rejected(Reason.SCHEMA, f"{len(policies)} policies in one group, limit {MAX_SPANS}")
    said = (subject.run, subject.actor, subject.incarnation, subject.version)
    found = (group.run, group.actor, group.policy.incarnation, group.policy.version)
    if said != found:
        raise Rejected(Reason.MISMATCH, f"the subject says {said}, the group {found}"[:500])
    if policies[0] != group.policy:
        raise Rejected(
            Reason.MISMATCH, f"the group says policy {group.policy}, its oldest span {policies[0]}"
        )


def _check_terms(subject: RolloutsSubject, answer: Answer) -> None:
    claim, group, lease = answer
    if subject.shard != lease.shard:
        raise Rejected(Reason.LEASE_TERMS, f"the lease says shard {lease.shard}")
    if len(group.rollouts) != lease.group_size:
        raise Rejected(
            Reason.LEASE_TERMS,
            f"{len(group.rollouts)} rollouts, the lease asks for {lease.group_size}",
        )
    for policy in claim.policies:
        if not policy.suffices(lease.least_policy):
            raise Rejected(
                Reason.POLICY_OLD, f"policy {policy}, the lease asks for {lease.least_policy}"
            )


def _compare_rewards(rollouts: tuple[Rollout, ...], rewards: list[float]) -> tuple[Reason, str]:
    for index, (rollout, reward) in enumerate(zip(rollouts, rewards, strict=True)):
        if not math.isclose(rollout.claimed_reward, reward, abs_tol=_REWARD_TOLERANCE):
            return (
                Reason.REWARD_MISMATCH,
                f"rollout {index} claims reward {rollout.claimed_reward:g}, it is {reward:g}",
            )
    return Reason.NONE, ""
