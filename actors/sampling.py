"""Sampling by counter-based Gumbel noise.

The argmax of logits + Gumbel noise is a draw from softmax(logits). The noise here is a pure
function of (seed, position, token id): no state, no order in a batch. So every engine on every
device draws the same token from the same logits, and whoever has the logits can repeat each draw.

    row key = mix(mix(seed) + (position + 1) * GOLDEN)
    bits    = mix(row key + (token id + 1) * GOLDEN) >> 12
    noise   = -log(-log1p(-(bits + 1/2) / 2**52))

`mix` is the finaliser of splitmix64 in wrapping 64-bit integers, equal bit for bit everywhere; each
step is one output of a splitmix64 generator. 52 bits keep (bits + 1/2) / 2**52 exact in float64 and
inside (0, 1), and give every token above a probability of about 2**-52 its chance. The noise is
largest where that number is smallest, which is where float64 resolves it best.

Dimensions: B sequences, V token ids.
"""

from typing import Final

import torch
from torch import Tensor

_GOLDEN: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FACTORS: Final = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))
_BITS: Final = 52


def gumbel_noise(seeds_B: Tensor, positions_B: Tensor, vocabulary_size: int) -> Tensor:
    """float64 noise_B_V. `seeds_B` and `positions_B` are int64; the position is the index of the
    drawn token in its whole sequence, prompt included."""
    token_ids_V = torch.arange(1, vocabulary_size + 1, device=seeds_B.device)
    keys_B = _mix(_mix(seeds_B) + (positions_B + 1) * _GOLDEN)
    bits_B_V = _shift_right(_mix(keys_B.unsqueeze(-1) + token_ids_V * _GOLDEN), 64 - _BITS)
    exponential_B_V = bits_B_V.double().add_(0.5).mul_(-(2.0**-_BITS)).log1p_().neg_()
    return exponential_B_V.log_().neg_()


def draw(logits_B_V: Tensor, seeds_B: Tensor, positions_B: Tensor) -> Tensor:
    """Token ids of shape B, drawn from softmax(logits)."""
    noise_B_V = gumbel_noise(seeds_B, positions_B, logits_B_V.shape[-1])
    return noise_B_V.add_(logits_B_V).argmax(dim=-1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _FACTORS[0]
    x = (x ^ _shift_right(x, 27)) * _FACTORS[1]
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, num_bits: int) -> Tensor:
    """Shift as if unsigned: int64 copies the sign bit."""
    return (x >> num_bits) & ((1 << (64 - num_bits)) - 1)
