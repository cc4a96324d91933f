"""A finding: what was looked at, how bad it is, what was found, and the line that mends it."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    OK = "ok"
    """As it should be."""
    WARNING = "warning"
    """It is not known, or it may become a problem."""
    CRITICAL = "critical"
    """What was acknowledged can be lost, the run cannot go on, or strangers can do too much."""


_EXIT_STATUS = {Level.OK: 0, Level.WARNING: 1, Level.CRITICAL: 2}


class Finding(Struct, frozen=True, kw_only=True):
    """What one check says about one thing."""

    check: str
    """The kind of check, for instance `clock`."""
    about: str
    """The server, stream, run or file."""
    level: Level
    found: str
    fix: str = ""
    """The line that mends it, to be typed or written where it says; empty when all is well."""
    known: bool = True
    """False: nobody could look. Then `fix` says how somebody could."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What `broker doctor --json` prints."""

    level: Level
    """The worst one."""
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """0 all is well, 1 a warning, 2 something critical."""
        return _EXIT_STATUS[self.level]


def diagnosis(findings: Sequence[Finding]) -> Diagnosis:
    """
    >>> diagnosis([fine("clock", "here", "it is right")]).level
    <Level.OK: 'ok'>
    """
    worst = max((each.level for each in findings), key=_EXIT_STATUS.__getitem__, default=Level.OK)
    return Diagnosis(level=worst, findings=tuple(findings))


def troubles(findings: Sequence[Finding]) -> list[Finding]:
    """What is known to be wrong."""
    return [each for each in findings if each.known and each.level is not Level.OK]


def fine(check: str, about: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, about=about, level=Level.OK, found=found)


def warning(check: str, about: str, found: str, fix: str) -> Finding:
    return Finding(check=check, about=about, level=Level.WARNING, found=found, fix=fix)


def critical(check: str, about: str, found: str, fix: str) -> Finding:
    return Finding(check=check, about=about, level=Level.CRITICAL, found=found, fix=fix)


def unknown(check: str, about: str, why: str, fix: str) -> Finding:
    """Nobody could look; `fix` is how somebody could."""
    return Finding(
        check=check,
        about=about,
        level=Level.WARNING,
        found=f"unknown: {why}",
        fix=fix,
        known=False,
    )
