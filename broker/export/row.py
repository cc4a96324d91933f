"""One rollout as a row: what the actor sent, and what the log says of it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from broker.look.group import Spell
from broker.look.message import Message
from schemas.arrays import unpack_f32, unpack_u32
from schemas.lease import Lease
from schemas.rollout import Rollout, RolloutGroup

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U8 = Annotated[int, Meta(ge=0, le=255)]
F32 = Annotated[float, Meta(description="f32")]
"""Kinds that the columns of a Parquet file are made of."""


class SpanOf(Struct, frozen=True, kw_only=True):
    """A stretch of sampled tokens that one policy made."""

    num_tokens: int
    incarnation: int
    version: int


class PartOf(Struct, frozen=True, kw_only=True):
    """A figure of the rollout, such as exact match."""

    name: str
    value: float


class ExportRow(Struct, frozen=True, kw_only=True):
    """T tokens, of which S are sampled. Of the actor's figures only tokens and rewards of accepted
    groups are verified."""

    run: str
    step: int | None
    """Of the batch that has the group; None for what no batch has."""
    row: int | None
    """Of the group in that batch, from 0."""
    lease_id: int
    environment: str | None
    task: int | None
    seed: int | None
    """These three are the lease's; None where the run issued no such lease."""
    shard: str
    sequence: int
    sha256: str
    """Of the message."""
    time: float
    """Unix seconds, when it was judged; stored, while it is not."""
    actor: str
    engine: str
    engine_version: str
    dtype: str
    track: str
    verdict: str
    """`accepted`, `rejected`, `stale`, `late`, `duplicate`, `unjudged`."""
    reason: str
    """Why it was refused, in a word; else empty."""
    detail: str
    """What its actor was told; else empty."""
    incarnation: int
    version: int
    """Of the oldest policy that sampled a token of the group."""
    staleness: int | None
    """In its batch."""
    rollout: int
    """In its group, from 0."""
    num_rollouts: int
    reward: float | None
    """The recomputed one; None where it did not get that far."""
    claimed_reward: float
    advantage: float | None
    """In its batch."""
    parts: list[PartOf]
    finish: str
    token_ids: list[U32]
    """T: prompt, completions and what the environment put between them."""
    loss_mask: list[U8]
    """T: 1 where the policy sampled the token."""
    logprobs: list[F32]
    """S, of the sampled tokens in their order, under the policy that sampled each."""
    spans: list[SpanOf]
    prompt: str | None
    completion: str | None
    """Texts of the tokens up to the first sampled one, and from there; None where the run's
    renderer is not at hand."""


def rows_of(
    message: Message, group: RolloutGroup, *, leases: Mapping[int, Lease], spell: Spell | None
) -> Iterator[ExportRow]:
    """The rollouts of a group, in their order."""
    placed, event = message.placed, message.event
    lease = leases.get(group.lease_id)
    rewards, advantages = message.rewards, placed.row.advantages if placed else ()
    for index, rollout in enumerate(group.rollouts):
        prompt, completion = _texts(rollout, spell)
        yield ExportRow(
            run=message.run,
            step=placed.step if placed else None,
            row=placed.position if placed else None,
            lease_id=group.lease_id,
            environment=lease.environment.id if lease else None,
            task=lease.task if lease else None,
            seed=lease.seed if lease else None,
            shard=message.shard,
            sequence=message.sequence,
            sha256=message.sha256,
            time=message.time,
            actor=message.actor,
            engine=group.profile.engine,
            engine_version=group.profile.version,
            dtype=group.profile.dtype,
            track=group.profile.track,
            verdict=message.verdict,
            reason=message.reason,
            detail=message.detail,
            incarnation=group.policy.incarnation,
            version=group.policy.version,
            staleness=placed.staleness if placed else None,
            rollout=index,
            num_rollouts=len(group.rollouts),
            reward=rewards[index] if index < len(rewards) else None,
            claimed_reward=rollout.claimed_reward,
            advantage=advantages[index] if index < len(advantages) else None,
            parts=[
                PartOf(name=part.name, value=part.values[index])
                for part in (event.parts if event else ())
                if index < len(part.values)
            ],
            finish=rollout.finish,
            token_ids=list(unpack_u32(rollout.token_ids)),
            loss_mask=list(rollout.loss_mask),
            logprobs=list(unpack_f32(rollout.logprobs)),
            spans=[
                SpanOf(
                    num_tokens=span.num_tokens,
                    incarnation=span.policy.incarnation,
                    version=span.policy.version,
                )
                for span in rollout.spans
            ],
            prompt=prompt,
            completion=completion,
        )


def _texts(rollout: Rollout, spell: Spell | None) -> tuple[str | None, str | None]:
    if spell is None:
        return None, None
    texts = [spell(token_id) for token_id in unpack_u32(rollout.token_ids)]
    start = rollout.loss_mask.index(1)
    return "".join(texts[:start]), "".join(texts[start:])
