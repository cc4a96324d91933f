"""What every loss of the trainer is: a plain function from tensors to a loss per token."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import torch

MAX_LOG_RATIO: Final = math.log(10.0)
"""Of trainer to actor. The actor's side is what a stranger says: where nothing bounds the ratio,
one token of a batch, said to be very unlikely, is the whole gradient. One above it gives none."""


class TokenLoss(NamedTuple):
    """N trained tokens."""

    loss_N: torch.Tensor
    """To be summed and divided by the batch's global number of trained tokens."""
    masked_N: torch.Tensor
    """bool: the trust region lets no gradient of the advantage through."""


Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], TokenLoss]
"""(trainer's log-probabilities, with gradient; the actor's; advantages), N values each."""
