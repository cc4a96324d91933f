"""Rollouts of one bin as the tensors of one forward pass.

Dimensions: N packed tokens, S tokens of them that are trained on.
"""

from collections.abc import Sequence

import numpy as np
import torch
from msgspec import Struct

from learner.trainer.attention import Stretch, stretches
from learner.trainer.rollout import TrainRollout


class MicroBatch(Struct, frozen=True, kw_only=True):
    """Documents one behind another, in the order of the bin."""

    token_ids_N: torch.Tensor
    position_ids_N: torch.Tensor
    """From 0 in every document."""
    documents: tuple[Stretch, ...]
    """Keeps documents apart: without it the model silently computes something else."""
    predictors_S: torch.Tensor
    """Index of the token whose hidden state predicts the trained token: the one before it."""
    targets_S: torch.Tensor
    behaviour_S: torch.Tensor
    """The actor's log-probabilities."""
    advantages_S: torch.Tensor


def collate(rollouts: Sequence[TrainRollout], device: torch.device) -> MicroBatch:
    """Pack rollouts, which should come longest first, into one micro-batch."""
    lengths = [rollout.num_tokens for rollout in rollouts]
    token_ids_N = np.concatenate([np.asarray(rollout.token_ids) for rollout in rollouts])
    mask_N = np.frombuffer(b"".join(rollout.loss_mask for rollout in rollouts), dtype=np.uint8)
    trained_S = mask_N.nonzero()[0]
    advantages_S = np.repeat(
        [rollout.advantage for rollout in rollouts],
        [rollout.num_trainable for rollout in rollouts],
    )
    behaviour_S = np.concatenate([np.asarray(rollout.logprobs) for rollout in rollouts])

    def put(values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        return torch.as_tensor(
            values.astype(np.float32 if dtype.is_floating_point else np.int64)
        ).to(device)

    return MicroBatch(
        token_ids_N=put(token_ids_N, torch.int64),
        position_ids_N=put(np.concatenate([np.arange(length) for length in lengths]), torch.int64),
        documents=stretches(lengths),
        predictors_S=put(trained_S - 1, torch.int64),
        targets_S=put(token_ids_N[trained_S], torch.int64),
        behaviour_S=put(behaviour_S, torch.float32),
        advantages_S=put(advantages_S, torch.float32),
    )
