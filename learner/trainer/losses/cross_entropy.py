"""Cross-entropy, for supervised fine-tuning: loss = -A * lp, where A is 1."""

import torch

from learner.trainer.losses.token_loss import TokenLoss


def cross_entropy(
    logprobs_N: torch.Tensor, behaviour_N: torch.Tensor, advantages_N: torch.Tensor
) -> TokenLoss:
    """Loss per token; what the reference's log-probabilities were is not looked at."""
    return TokenLoss(-advantages_N * logprobs_N, torch.zeros_like(behaviour_N, dtype=torch.bool))
