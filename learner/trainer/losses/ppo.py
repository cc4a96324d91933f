"""PPO with an asymmetric clip of the ratio against the actor's log-probabilities.

    rho    = exp(lp - mu)
    loss   = -min(rho * A, clip(rho, 1 - clip_low, 1 + clip_high) * A)

lp is the trainer's log-probability, mu the actor's.
"""

import torch

from learner.trainer.losses.token_loss import TokenLoss
from schemas.settings import PpoSettings


def ppo(
    logprobs_N: torch.Tensor,
    behaviour_N: torch.Tensor,
    advantages_N: torch.Tensor,
    *,
    settings: PpoSettings,
) -> TokenLoss:
    """Loss per token against the actor's own log-probabilities."""
    lowest, highest = 1.0 - settings.clip_low, 1.0 + settings.clip_high
    log_ratio_N = logprobs_N - behaviour_N
    ratio_N = log_ratio_N.exp()
    masked_N = ((advantages_N > 0) & (ratio_N > highest)) | (
        (advantages_N < 0) & (ratio_N < lowest)
    )
    # A clipped token's loss is a constant. Its ratio may overflow, so it is taken out before exp.
    kept_N = log_ratio_N.masked_fill(masked_N, 0.0).exp() * advantages_N
    clipped_N = ratio_N.detach().clamp(lowest, highest) * advantages_N
    return TokenLoss(-torch.where(masked_N, clipped_N, kept_N), masked_N)
