"""Rewards: two figures of every rollout, of which the settings name the one that is trained on."""

from typing import Literal

from environments.interface import Interaction, Part, Turn
from schemas.rollout import Finish


def agreement(given: str, wanted: str) -> float:
    """Share of positions at which two texts agree, of the longer one's positions.

    >>> agreement("abxd", "abcd")
    0.75
    """
    longest = max(len(given), len(wanted))
    if longest == 0:
        return 1.0
    return sum(a == b for a, b in zip(given, wanted, strict=False)) / longest


def digit_agreement(given: str, wanted: str) -> float:
    """Share of places that agree, units below units.

    >>> digit_agreement("57", "357") == 2 / 3
    True
    """
    return agreement(given[::-1], wanted[::-1])


def finished(
    turns: tuple[Turn, ...],
    finish: Finish,
    *,
    exact: bool,
    partial: float,
    train_on: Literal["exact", "partial"],
) -> Interaction:
    """The interaction with its parts `exact` (0 or 1) and `partial` (0 to 1)."""
    values = {"exact": float(exact), "partial": partial}
    return Interaction(
        turns=turns,
        finish=finish,
        reward=values[train_on],
        parts=tuple(Part(name=name, value=value) for name, value in values.items()),
    )
