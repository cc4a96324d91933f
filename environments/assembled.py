"""Turns as a rollout carries them."""

from collections.abc import Sequence

from msgspec import Struct

from environments.interface import Turn


class Assembled(Struct, frozen=True, kw_only=True):
    """T tokens of an interaction."""

    token_ids: tuple[int, ...]
    """T values."""
    loss_mask: bytes
    """T values: 1 where the policy sampled the token."""


def assemble(turns: Sequence[Turn]) -> Assembled:
    """Join the turns of an interaction."""
    return Assembled(
        token_ids=tuple([i for turn in turns for i in turn.token_ids]),
        loss_mask=b"".join(bytes([turn.sampled]) * len(turn.token_ids) for turn in turns),
    )
