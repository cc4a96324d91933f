"""Turns a lease into a group: its rollouts, run side by side through the environment."""

import asyncio
from itertools import groupby

from actors.engine import Engine, Generated
from actors.policies import Served
from actors.seeds import member_seed
from actors.status import Status
from environments.assembled import assemble
from environments.interface import Completion, Environment, Interaction
from schemas.arrays import pack_f32, pack_u32
from schemas.lease import Lease
from schemas.rollout import Rollout, RolloutGroup, VersionSpan


class Groups:
    """Makes groups with one engine, which batches whatever is asked of it at once."""

    def __init__(self, engine: Engine, status: Status) -> None:
        self._engine = engine
        self._status = status

    async def make(self, lease: Lease, environment: Environment, served: Served) -> RolloutGroup:
        """All rollouts of a lease, made with the served policy."""
        async with asyncio.TaskGroup() as members:
            tasks = [
                members.create_task(self._rollout(lease, environment, member))
                for member in range(lease.group_size)
            ]
        rollouts = tuple(task.result() for task in tasks)
        policies = {span.policy for rollout in rollouts for span in rollout.spans}
        oldest = min(policies, key=lambda policy: policy.freshness)
        # A policy is only loaded between groups.
        assert oldest == served.policy, f"generated with {oldest}, served is {served.policy}"
        return RolloutGroup(
            run=lease.run,
            lease_id=lease.lease_id,
            actor=lease.actor,
            policy=oldest,
            manifest_sha256=served.manifest_sha256,
            profile=self._engine.profile,
            rollouts=rollouts,
        )

    async def _rollout(self, lease: Lease, environment: Environment, member: int) -> Rollout:
        turns: list[Generated] = []
        seed = member_seed(lease.seed, member)

        async def sample(token_ids: tuple[int, ...]) -> Completion:
            generated = await self._engine.generate(token_ids, lease.sampling, seed=seed)
            turns.append(generated)
            self._status.tokens.add(len(generated.token_ids))
            return Completion(token_ids=generated.token_ids, finish=generated.finish)

        interaction = await environment.run(lease.task, sample)
        return _rollout(interaction, turns)


def _rollout(interaction: Interaction, turns: list[Generated]) -> Rollout:
    assembled = assemble(interaction.turns)
    return Rollout(
        token_ids=pack_u32(assembled.token_ids),
        loss_mask=assembled.loss_mask,
        logprobs=pack_f32(logprob for turn in turns for logprob in turn.logprobs),
        spans=_joined([span for turn in turns for span in turn.spans]),
        finish=interaction.finish,
        claimed_reward=interaction.reward,
    )


def _joined(spans: list[VersionSpan]) -> tuple[VersionSpan, ...]:
    """Neighbouring spans of one policy as one."""
    return tuple(
        VersionSpan(num_tokens=sum(span.num_tokens for span in stretch), policy=policy)
        for policy, stretch in groupby(spans, key=lambda span: span.policy)
    )
