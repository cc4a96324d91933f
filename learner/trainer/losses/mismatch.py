"""How far trainer and actor are apart: k3 = rho - log(rho) - 1, rho = exp(lp - mu).

Its mean over tokens that the actor sampled estimates KL(actor || trainer) without bias, and no
value is below 0.
"""

import torch


def mismatch_kl(logprobs_N: torch.Tensor, behaviour_N: torch.Tensor) -> torch.Tensor:
    """k3 per token, in nats; no gradient."""
    log_ratio_N = logprobs_N.detach() - behaviour_N
    return log_ratio_N.expm1() - log_ratio_N
