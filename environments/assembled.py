"""A finished interaction as a rollout carries it."""

from msgspec import Struct

from environments.interface import Interaction


class Assembled(Struct, frozen=True, kw_only=True):
    """An interaction's tokens. T tokens."""

    token_ids: tuple[int, ...]
    """T values."""
    loss_mask: bytes
    """T values: 1 where the policy sampled the token."""


def assemble(interaction: Interaction) -> Assembled:
    """Join the turns of an interaction."""
    turns = interaction.turns
    return Assembled(
        token_ids=tuple([i for turn in turns for i in turn.token_ids]),
        loss_mask=b"".join(bytes([turn.sampled]) * len(turn.token_ids) for turn in turns),
    )
