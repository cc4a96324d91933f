"""PPO with an asymmetric clip of the ratio against the actor's log-probabilities.

    rho    = min(exp(lp - mu), 10)
    loss   = -min(rho * A, clip(rho, 1 - clip_low, 1 + clip_high) * A)

lp is the trainer's log-probability, mu the actor's.
"""

import torch

from learner.trainer.losses.token_loss import MAX_LOG_RATIO, TokenLoss
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
    ratio_N = log_ratio_N.clamp(max=MAX_LOG_RATIO).exp()
    clipped_N = ratio_N.detach().clamp(lowest, highest) * advantages_N
    is_clipped_N = ((advantages_N > 0) & (ratio_N > highest)) | (
        (advantages_N < 0) & (ratio_N < lowest)
    )
    loss_N = -torch.where(is_clipped_N, clipped_N, ratio_N * advantages_N)
    return TokenLoss(loss_N, is_clipped_N | (log_ratio_N > MAX_LOG_RATIO))
