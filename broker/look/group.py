"""One group as it is shown: its rollouts with all that the log says of them. Pure.

prompt      what every rollout begins with
stretches   what follows it, sampled by the policy or rendered by the environment, by turns
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from msgspec import Struct

from broker.look.held import Held, Place, read_group
from broker.look.message import Message
from broker.look.sight import Undecodable, engine_words, undecodable_of
from schemas.arrays import unpack_f32, unpack_u32
from schemas.errors import Rejected
from schemas.lease import Lease
from schemas.ledger import RewardPart
from schemas.policy import PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan

Spell = Callable[[int], str]
"""The text of one token."""


class Stretch(Struct, frozen=True, kw_only=True):
    """Tokens side by side of which the policy sampled all, or none."""

    sampled: bool
    token_ids: tuple[int, ...]
    text: str | None
    """None where the run's renderer is not at hand."""


class RolloutShown(Struct, frozen=True, kw_only=True):
    """One rollout of a group."""

    reward: float | None
    """The recomputed one; None where it did not get that far."""
    claimed_reward: float
    advantage: float | None
    """In the batch; None where no batch has it."""
    finish: Finish
    num_tokens: int
    num_sampled: int
    stretches: tuple[Stretch, ...]
    """Behind the prompt."""
    logprobs: tuple[float, ...]
    """Of the sampled tokens, under the policy that sampled each."""
    spans: tuple[VersionSpan, ...]


class GroupShown(Struct, frozen=True, kw_only=True):
    """What `broker show --json` prints. Of the actor's figures only the rewards are verified."""

    run: str
    id: str
    """Of the message, as `broker why` takes it."""
    sha256: str
    time: float
    """Unix seconds, when it was judged; stored, while it is not."""
    actor: str
    verdict: str
    reason: str
    """Why it was refused, in a word."""
    detail: str
    lease_id: int | None
    environment: str | None
    task: int | None
    seed: int | None
    """These three of the lease, if it is known."""
    step: int | None
    """Of the batch that has it."""
    row: int | None
    """Its place in that batch, from 0."""
    staleness: int | None
    rewards: tuple[float, ...]
    parts: tuple[RewardPart, ...]
    advantages: tuple[float, ...]
    others: tuple[str, ...]
    """Other messages that name its lease."""
    place: Place
    missing: str
    """Why the bytes are not to be had; what follows is then empty, too."""
    undecodable: Undecodable | None
    num_bytes: int | None
    engine: str | None
    policy: PolicyId | None
    prompt: Stretch | None
    rollouts: tuple[RolloutShown, ...]


def group_of(
    message: Message,
    held: Held,
    *,
    vocabulary_size: int,
    spell: Spell | None,
    leases: Mapping[int, Lease],
    others: Sequence[Message] = (),
) -> GroupShown:
    """A message with the bytes that were found for it. Raises nothing, whatever these are."""
    group, undecodable = None, None
    if not held.missing:
        try:
            group = read_group(held.data, vocabulary_size)
        except Rejected as refusal:
            undecodable = undecodable_of(held.data, refusal)
    lease_id = group.lease_id if group else message.lease_id
    lease = message.lease if lease_id is None else leases.get(lease_id)
    placed = message.placed
    prompt = _stretches(group.rollouts[0], spell)[0] if group else None
    return GroupShown(
        run=message.run,
        id=message.id,
        sha256=message.sha256,
        time=message.time,
        actor=message.actor,
        verdict=message.verdict,
        reason=message.reason,
        detail=message.detail,
        lease_id=lease_id,
        environment=lease.environment.id if lease else None,
        task=lease.task if lease else None,
        seed=lease.seed if lease else None,
        step=placed.step if placed else None,
        row=placed.position if placed else None,
        staleness=placed.staleness if placed else None,
        rewards=message.rewards,
        parts=message.event.parts if message.event else (),
        advantages=placed.row.advantages if placed else (),
        others=tuple(f"{other.id} ({other.reason or other.verdict})" for other in others),
        place=held.place,
        missing=held.missing,
        undecodable=undecodable,
        num_bytes=None if held.missing else len(held.data),
        engine=engine_words(group.profile) if group else None,
        policy=group.policy if group else None,
        prompt=prompt,
        rollouts=_rollouts(message, group, prompt, spell) if group else (),
    )


def _rollouts(
    message: Message, group: RolloutGroup, prompt: Stretch | None, spell: Spell | None
) -> tuple[RolloutShown, ...]:
    rewards = message.rewards
    advantages = message.placed.row.advantages if message.placed else ()
    shown = []
    for index, rollout in enumerate(group.rollouts):
        stretches = _stretches(rollout, spell)
        # Of a refused group not all may begin in the same way.
        behind = stretches[1:] if stretches[0] == prompt else stretches
        shown.append(
            RolloutShown(
                reward=rewards[index] if index < len(rewards) else None,
                claimed_reward=rollout.claimed_reward,
                advantage=advantages[index] if index < len(advantages) else None,
                finish=rollout.finish,
                num_tokens=len(rollout.loss_mask),
                num_sampled=rollout.loss_mask.count(1),
                stretches=behind,
                logprobs=tuple(unpack_f32(rollout.logprobs)),
                spans=rollout.spans,
            )
        )
    return tuple(shown)


def _stretches(rollout: Rollout, spell: Spell | None) -> tuple[Stretch, ...]:
    """At least two: the first token is rendered, and one at least is sampled."""
    found, start, token_ids = [], 0, tuple(unpack_u32(rollout.token_ids))
    for is_sampled, run in groupby(rollout.loss_mask):
        end = start + sum(1 for _ in run)
        found.append(_stretch(token_ids[start:end], spell, sampled=is_sampled == 1))
        start = end
    return tuple(found)


def _stretch(token_ids: tuple[int, ...], spell: Spell | None, *, sampled: bool) -> Stretch:
    text = "".join(map(spell, token_ids)) if spell else None
    return Stretch(sampled=sampled, token_ids=token_ids, text=text)
