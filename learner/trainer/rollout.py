"""One rollout as the trainer sees it: tokens, what was sampled, and how good it was."""

from array import array
from collections.abc import Sequence

from msgspec import Struct

from environments.assembled import assemble
from environments.interface import Turn
from schemas.arrays import unpack_f32, unpack_u32
from schemas.rollout import RolloutGroup


class TrainRollout(Struct, frozen=True, kw_only=True):
    """T tokens, of which S are sampled by the policy. In memory only: it crosses no process."""

    token_ids: "array[int]"
    """T values."""
    loss_mask: bytes
    """T values: 1 where the policy sampled the token and it is trained on; the first is 0."""
    logprobs: "array[float]"
    """S values: behaviour log-probabilities of the sampled tokens, in order, in nats."""
    advantage: float
    """Of every sampled token."""

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return len(self.token_ids)

    @property
    def num_trainable(self) -> int:
        """Tokens that the loss is summed over."""
        return self.loss_mask.count(1)


def from_group(group: RolloutGroup, advantages: Sequence[float]) -> list[TrainRollout]:
    """A group's rollouts with the advantages that its row of the batch gives them."""
    assert len(advantages) == len(group.rollouts), "one advantage per rollout"
    return [
        TrainRollout(
            token_ids=unpack_u32(rollout.token_ids),
            loss_mask=rollout.loss_mask,
            logprobs=unpack_f32(rollout.logprobs),
            advantage=advantage,
        )
        for rollout, advantage in zip(group.rollouts, advantages, strict=True)
    ]


def from_turns(turns: Sequence[Turn], logprobs: Sequence[float], advantage: float) -> TrainRollout:
    """A rollout that was made on this side of the queue."""
    assembled = assemble(turns)
    return TrainRollout(
        token_ids=array("I", assembled.token_ids),
        loss_mask=assembled.loss_mask,
        logprobs=array("f", logprobs),
        advantage=advantage,
    )


def num_trainable_tokens(rollouts: Sequence[TrainRollout]) -> int:
    """What the loss of these rollouts is divided by, once summed over all ranks."""
    return sum(rollout.num_trainable for rollout in rollouts)
