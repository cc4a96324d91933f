"""A diagnosis as lines: one for each finding, and one below it that mends it."""

from collections import Counter
from typing import Final

from broker.doctor.finding import Diagnosis, Finding, Level
from broker.program.screen import show_line
from broker.program.words import counted

_SHOWN: Final = {Level.OK: "ok", Level.WARNING: "warning", Level.CRITICAL: "CRITICAL"}
_WIDTH: Final = max(map(len, _SHOWN.values()))


def show_diagnosis(found: Diagnosis) -> None:
    """The worst comes last, where it is seen."""
    severity = list(_SHOWN)
    for finding in sorted(found.findings, key=lambda each: severity.index(each.level)):
        show_finding(finding)
    levels = Counter(finding.level for finding in found.findings)
    counts = [counted(levels[Level.WARNING], "warning"), f"{levels[Level.CRITICAL]} critical"]
    show_line(f"{counted(len(found.findings), 'check')}: {', '.join(counts)}")


def show_finding(finding: Finding) -> None:
    word = f"{_SHOWN[finding.level]:<{_WIDTH}}"
    show_line(f"{word}  {finding.check} of {finding.about}: {finding.found}")
    if finding.fix:
        show_line(f"{'':<{_WIDTH}}    {finding.fix}")
