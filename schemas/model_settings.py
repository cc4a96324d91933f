"""The shape of a model that is built from settings, and which shapes there can be.

Each setting is bounded by itself; here they are held against one another as well, so that a shape
that is accepted can be built, trained, and run by an actor in any of its numeric formats.
"""

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta, Struct

ROW_MULTIPLE: Final = 8
"""The kernel that multiplies by all experts at once reads 16 bytes at a time: 8 of bfloat16."""
HEAD_MULTIPLE: Final = 4
"""Half of a head's values are rotated by their position, in pairs."""


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GLM-4.5-style mixture of experts, built when no model is given.

    Raises ValueError, with a sentence that names a setting, for a shape that cannot be.
    """

    hidden_size: Annotated[
        int, Meta(ge=8, le=65_536, description="width of the residual stream, a multiple of 8")
    ] = 128
    num_layers: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="decoder layers; the first is dense, the others route to experts",
        ),
    ] = 3
    num_heads: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="attention heads of a layer; the width of each is a multiple of 4",
        ),
    ] = 4
    num_key_value_heads: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="heads that keys and values are shared among; divides num_heads",
        ),
    ] = 2
    intermediate_size: Annotated[
        int,
        Meta(ge=1, le=1 << 20, description="width of the dense layer's feed-forward part"),
    ] = 256
    num_experts: Annotated[int, Meta(ge=2, le=4096, description="experts of a layer")] = 8
    num_experts_per_token: Annotated[
        int, Meta(ge=1, le=4096, description="experts that a token is routed to")
    ] = 2
    moe_intermediate_size: Annotated[
        int, Meta(ge=8, le=1 << 20, description="width of an expert, a multiple of 8")
    ] = 64
    max_positions: Annotated[
        int,
        Meta(ge=2, le=1 << 24, description="longest sequence, prompt and answer, in tokens"),
    ] = 256

    def __post_init__(self) -> None:
        _check_multiple("hidden_size", self.hidden_size)
        _check_multiple("moe_intermediate_size", self.moe_intermediate_size)
        heads = _divisors(self.hidden_size // HEAD_MULTIPLE)
        if self.num_heads not in heads:
            raise ValueError(
                f"model.num_heads is {self.num_heads} and must divide model.hidden_size, which is "
                f"{self.hidden_size}, into heads whose width is a multiple of {HEAD_MULTIPLE}: "
                f"{_nearest(self.num_heads, heads)} would do"
            )
        shared = _divisors(self.num_heads)
        if self.num_key_value_heads not in shared:
            raise ValueError(
                f"model.num_key_value_heads is {self.num_key_value_heads} and must divide "
                f"model.num_heads, which is {self.num_heads}: "
                f"{_nearest(self.num_key_value_heads, shared)} would do"
            )
        if self.num_experts_per_token > self.num_experts:
            raise ValueError(
                f"model.num_experts_per_token is {self.num_experts_per_token} and must be at most "
                f"model.num_experts, which is {self.num_experts}"
            )


def _check_multiple(name: str, value: int) -> None:
    if value % ROW_MULTIPLE:
        below = value // ROW_MULTIPLE * ROW_MULTIPLE
        fits = [below, below + ROW_MULTIPLE]
        raise ValueError(
            f"model.{name} is {value} and must be a multiple of {ROW_MULTIPLE}: "
            f"{_nearest(value, fits)} would do"
        )


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _nearest(value: int, fits: Iterable[int]) -> str:
    """The next smaller and the next larger of the values that would fit.

    >>> _nearest(3, [1, 2, 4, 8]), _nearest(20, [1, 2, 4, 8])
    ('2 or 4', '8')
    """
    ordered = sorted(fits)
    smaller = [fit for fit in ordered if fit < value][-1:]
    larger = [fit for fit in ordered if fit > value][:1]
    return " or ".join(map(str, smaller + larger))
