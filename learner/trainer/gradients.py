"""The gradients of all parameters in one flat buffer: one all-reduce, one norm, one clip.

The buffer has a few places more than the model has parameters. The figures of a step (its loss, its
entropy, ...) are put there, and so are summed over the ranks by the same all-reduce. They are means
or shares: a float32 that counts loses units from 2^24 on.
"""

from collections.abc import Iterable, Sequence

import torch

from learner.trainer.world import World


class FlatGradients:
    """Every parameter's `grad` is a view into one float32 buffer, which backward passes add to."""

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], num_figures: int, device: torch.device
    ) -> None:
        owned = list(parameters)
        num_values = sum(parameter.numel() for parameter in owned)
        self._buffer = torch.zeros(num_values + num_figures, device=device)
        self._values = self._buffer[:num_values]
        self._figures = self._buffer[num_values:]
        offset = 0
        for parameter in owned:
            stop = offset + parameter.numel()
            parameter.grad = self._buffer[offset:stop].view_as(parameter)
            offset = stop

    def clear(self) -> None:
        """Set gradients and figures to zero."""
        self._buffer.zero_()

    def add(self, figures: Sequence[torch.Tensor]) -> None:
        """Add to this rank's figures."""
        self._figures += torch.stack([figure.float() for figure in figures])

    def sum_over_ranks(self, world: World) -> list[float]:
        """Add up gradients and figures of all ranks; returns the figures."""
        world.all_reduce_sum([self._buffer])
        return self._figures.tolist()

    def clip(self, max_norm: float) -> float:
        """Scale the gradient down to `max_norm`; returns its norm before, perhaps NaN or inf."""
        norm = float(torch.linalg.vector_norm(self._values))
        if norm > max_norm:
            self._values *= max_norm / norm
        return norm
