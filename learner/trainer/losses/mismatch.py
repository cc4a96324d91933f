"""How far trainer and actor are apart: k3 = exp(r) - r - 1, r = min(lp - mu, log 10).

lp is the trainer's log-probability, mu the actor's. Its mean over tokens that the actor sampled
estimates KL(actor || trainer), and no value is below 0: http://joschu.net/blog/kl-approx.html.
Without the bound it has no bias; with it one token of a liar, that the losses mask too, is worth
6.7 nats, and not so much that nothing else can be seen.
"""

import torch

from learner.trainer.losses.token_loss import MAX_LOG_RATIO


def mismatch_kl(logprobs_N: torch.Tensor, behaviour_N: torch.Tensor) -> torch.Tensor:
    """k3 per token, in nats; no gradient."""
    log_ratio_N = (logprobs_N.detach() - behaviour_N).clamp(max=MAX_LOG_RATIO)
    return log_ratio_N.expm1() - log_ratio_N
