"""What waits in a queue, by what the subjects say: the server counts them, nothing is read.

A subject is its sender's word. The coordinator judges a group's staleness by it, before it decodes
anything, and refuses a group that contradicts it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from schemas import names
from schemas.errors import Rejected


class Backlog(Struct, frozen=True, kw_only=True):
    """The messages of one queue, or of several."""

    num_groups: int
    by_version: dict[int, int]
    """Policy version -> messages."""
    num_unreadable: int
    """On a subject that is not that of a group."""

    def behind(self, version: int) -> int | None:
        """How many versions the oldest is behind `version`; None when nothing waits."""
        return max(0, version - min(self.by_version)) if self.by_version else None


def backlog(subjects: Mapping[str, int]) -> Backlog:
    """Count by version.

    >>> backlog({"rollouts.demo.s0.1-7.ALICE": 2, "rollouts.demo.s0.1-5.BOB": 1, "x": 1}).behind(8)
    3
    """
    by_version: Counter[int] = Counter()
    num_unreadable = 0
    for subject, count in subjects.items():
        try:
            by_version[names.parse_rollouts_subject(subject).version] += count
        except Rejected:
            num_unreadable += count
    return Backlog(
        num_groups=sum(subjects.values()),
        by_version=dict(sorted(by_version.items())),
        num_unreadable=num_unreadable,
    )


def together(backlogs: Iterable[Backlog]) -> Backlog:
    """Those of several queues as one."""
    each = list(backlogs)
    by_version: Counter[int] = Counter()
    for one in each:
        by_version.update(one.by_version)
    return Backlog(
        num_groups=sum(one.num_groups for one in each),
        by_version=dict(sorted(by_version.items())),
        num_unreadable=sum(one.num_unreadable for one in each),
    )
