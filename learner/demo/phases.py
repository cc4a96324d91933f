"""The phases of a demo, and how far each one is."""

from collections.abc import Iterator
from enum import StrEnum


class Phase(StrEnum):
    SFT = "SFT"
    """The initial policy is made."""
    RL = "RL"
    """Everybody works, some are killed."""
    AUDIT = "audit"
    REPLAY = "replay"
    """At the same time as the audit."""


class Phases:
    """What has been said of each phase."""

    def __init__(self) -> None:
        self._said: dict[Phase, tuple[float | None, str]] = {}

    def say(self, phase: Phase, share: float | None, text: str) -> None:
        """A share of None: it goes on, and nobody can say how far it is."""
        self._said[phase] = (share, text)

    def all(self) -> Iterator[tuple[Phase, tuple[float | None, str]]]:
        """In their order; of those to come nothing has been said."""
        for phase in Phase:
            yield phase, self._said.get(phase, (0.0, ""))
