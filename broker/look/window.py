"""Staleness of all that waits, and what the window will refuse next. Pure.

The staleness of a group is what it would be in the batch of the next step. So the coordinator looks
at it: at a message by the version in its subject, at an accepted group when a batch is cut. Each
batch that is cut ages all that it leaves behind by one version.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from broker.look.backlog import Backlog
from schemas.batch import staleness


class Bar(Struct, frozen=True, kw_only=True):
    """Groups of one staleness."""

    staleness: int
    num_queued: int
    """Without a verdict."""
    num_waiting: int
    """Accepted, with signal, in no batch yet."""


class Window(Struct, frozen=True, kw_only=True):
    """What waits, as the next batch sees it."""

    next_step: int
    max_staleness: int
    bars: tuple[Bar, ...]
    """By staleness, from 0 to the limit."""
    num_never_announced: int
    """Messages made with a version that was never announced; refused whatever the window is."""
    num_unreadable: int
    """Messages on a subject that is not that of a group; refused, too."""
    queued_too_old: int
    """Messages that are refused as soon as they are judged."""
    waiting_too_old: int
    """Accepted groups that are dropped when the next batch is cut."""
    queued_refused_next: int
    """Messages that are refused unless they are judged before the next batch is cut."""
    waiting_refused_next: int
    """Accepted groups that the next batch leaves behind, and that are too old for the one after."""


def window(
    *,
    next_step: int,
    announced: int,
    max_staleness: int,
    batch_groups: int,
    queued: Backlog,
    waiting: Sequence[int],
) -> Window:
    """`waiting` are the versions of the groups that wait for a batch, in order of acceptance."""
    of_queue = Counter[int]()
    never = 0
    for version, count in queued.by_version.items():
        if version > announced:
            never += count
        else:
            of_queue[staleness(next_step, version)] += count
    of_waiting = Counter(staleness(next_step, version) for version in waiting)
    return Window(
        next_step=next_step,
        max_staleness=max_staleness,
        bars=tuple(
            Bar(staleness=age, num_queued=of_queue[age], num_waiting=of_waiting[age])
            for age in range(max_staleness + 1)
        ),
        num_never_announced=never,
        num_unreadable=queued.num_unreadable,
        queued_too_old=sum(of_queue[age] for age in of_queue if age > max_staleness),
        waiting_too_old=sum(of_waiting[age] for age in of_waiting if age > max_staleness),
        queued_refused_next=of_queue[max_staleness],
        waiting_refused_next=_left_behind(of_waiting, max_staleness, batch_groups),
    )


def _left_behind(of_waiting: Counter[int], max_staleness: int, batch_groups: int) -> int:
    """Of the oldest that may still be used, those that a full batch has no room for.

    A batch takes the oldest first, so long as it can be filled; an actor's share may leave behind
    some more.
    """
    fresh = sum(count for age, count in of_waiting.items() if age <= max_staleness)
    if fresh < batch_groups:
        return 0
    return max(0, of_waiting[max_staleness] - batch_groups)
