"""How far a contributor is trusted."""

from enum import StrEnum


class Tier(StrEnum):
    """Told by the operator when he invites."""

    STRANGER = "stranger"
    TRUSTED = "trusted"
    """The operator's own machines, and those that he answers for."""
