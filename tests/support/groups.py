"""Groups as an honest actor would make them, without a model: a scripted policy that answers as it
is told."""

from collections.abc import Sequence

from environments.assembled import assemble
from environments.interface import Completion, Environment
from schemas.arrays import pack_f32, pack_u32
from schemas.lease import EngineProfile, Lease
from schemas.policy import PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan

PROFILE = EngineProfile(
    engine="scripted", version="1", dtype="float32", track="f32", max_context=1024
)


async def make_rollout(
    environment: Environment, lease: Lease, policy: PolicyId, *, right: bool
) -> Rollout:
    """A rollout whose answers are the reference's, or its first letters only."""
    reference = iter([turn for turn in environment.reference(lease.task) if turn.sampled])

    async def sample(_token_ids: tuple[int, ...]) -> Completion:
        turn = next(reference, None)
        answer = turn.token_ids if turn and right else lease.sampling.stop_ids[:1]
        return Completion(token_ids=answer, finish=Finish.STOP)

    interaction = await environment.run(lease.task, sample)
    assembled = assemble(interaction.turns)
    num_sampled = assembled.loss_mask.count(1)
    return Rollout(
        token_ids=pack_u32(assembled.token_ids),
        loss_mask=assembled.loss_mask,
        logprobs=pack_f32([-0.5] * num_sampled),
        spans=(VersionSpan(num_tokens=num_sampled, policy=policy),),
        finish=interaction.finish,
        claimed_reward=interaction.reward,
    )


async def make_group(
    environment: Environment,
    lease: Lease,
    policy: PolicyId,
    manifest_sha256: str,
    *,
    right: Sequence[bool],
) -> RolloutGroup:
    """A group with one rollout per entry of `right`."""
    return RolloutGroup(
        run=lease.run,
        lease_id=lease.lease_id,
        actor=lease.actor,
        policy=policy,
        manifest_sha256=manifest_sha256,
        profile=PROFILE,
        rollouts=tuple(
            [await make_rollout(environment, lease, policy, right=one) for one in right]
        ),
    )
