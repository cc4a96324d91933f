"""DPPO: a trust region in probability space, with a squared log-ratio against drift.

    r      = min(lp - mu, log 10)
    keep   = not (A > 0 and exp(lp) - exp(mu) >  mask_high)
             and not (A <= 0 and exp(lp) - exp(mu) < -mask_low)
    loss   = -keep * A * exp(r) + kl_weight * r^2

lp is the trainer's log-probability, mu the actor's. The gradient flows through r, and the second
term covers the masked tokens too. Measuring the mask in probability leaves rare tokens, whose ratio
is all noise, inside the trust region.
"""

import torch

from learner.trainer.losses.token_loss import MAX_LOG_RATIO, TokenLoss
from schemas.settings import DppoSettings


def dppo(
    logprobs_N: torch.Tensor,
    behaviour_N: torch.Tensor,
    advantages_N: torch.Tensor,
    *,
    settings: DppoSettings,
) -> TokenLoss:
    """Loss per token against the actor's own log-probabilities."""
    change_N = logprobs_N.detach().exp() - behaviour_N.exp()
    masked_N = torch.where(
        advantages_N > 0, change_N > settings.mask_high, change_N < -settings.mask_low
    )
    log_ratio_N = logprobs_N - behaviour_N
    bounded_N = log_ratio_N.clamp(max=MAX_LOG_RATIO)
    gain_N = (advantages_N * bounded_N.exp()).masked_fill(masked_N, 0.0)
    loss_N = settings.kl_weight * bounded_N.square() - gain_N
    return TokenLoss(loss_N, masked_N | (log_ratio_N > MAX_LOG_RATIO))
