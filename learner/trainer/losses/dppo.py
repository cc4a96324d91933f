"""DPPO: a trust region in probability space, with a squared log-ratio against drift.

    rho    = exp(lp - mu)
    keep   = not (A > 0 and exp(lp) - exp(mu) >  mask_high)
             and not (A <= 0 and exp(lp) - exp(mu) < -mask_low)
    loss   = -keep * A * rho + kl_weight * (lp - mu)^2

lp is the trainer's log-probability, mu the actor's. The gradient flows through rho, and the second
term covers the masked tokens too. Measuring the mask in probability leaves rare tokens, whose ratio
is all noise, inside the trust region.
"""

import torch

from learner.trainer.losses.token_loss import TokenLoss
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
    # The ratio of a masked token may overflow, and 0 * inf is not 0: it is taken out before exp.
    ratio_N = log_ratio_N.masked_fill(masked_N, 0.0).exp()
    gain_N = (advantages_N * ratio_N).masked_fill(masked_N, 0.0)
    return TokenLoss(settings.kl_weight * log_ratio_N.square() - gain_N, masked_N)
