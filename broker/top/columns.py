"""The table of actors: what stands in each column, and how it is sorted.

>>> def actor(actor, num_refused, staleness=None):
...     return ActorView(actor=actor, name="", tier="", state=None, waiting_for="", policy=None,
...         rates=Rates(), num_bytes=0, num_accepted=1, num_refused=num_refused, reasons=(),
...         num_purged=0, num_open_leases=0, staleness=staleness, latency_s=None,
...         last_verdict_s=None)
>>> actors = [actor("ALICE", 0), actor("BOB", 2, 0.5), actor("CAROL", 1, 1.5)]
>>> def order(*how):
...     return [view.actor for view in arranged(actors, *how)]
>>> order(Sort.REFUSED), order(Sort.ACTOR), order(Sort.ACTOR, False, "o")
(['BOB', 'CAROL', 'ALICE'], ['ALICE', 'BOB', 'CAROL'], ['BOB', 'CAROL'])

Who has no value comes last, whichever way the others are sorted.

>>> order(Sort.STALENESS), order(Sort.STALENESS, True)
(['CAROL', 'BOB', 'ALICE'], ['BOB', 'CAROL', 'ALICE'])
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from broker.look.short_keys import short_keys
from broker.program.words import size
from broker.top.sort import Sort
from broker.top.view import ActorView, Rates

__all__ = ["COLUMNS", "SILENT", "Column", "Rates", "Sort", "arranged", "called"]

SILENT: Final = "silent"
"""Instead of the state of who has said nothing for a while."""
_MAX_REASONS: Final = 2


class Column(NamedTuple):
    """One column."""

    sort: Sort
    title: str
    cell: Callable[[ActorView], str]
    """What stands in it."""
    key: Callable[[ActorView], Any]
    """What it is sorted by; None: there is nothing to sort by."""
    is_number: bool
    """Numbers stand right, and the highest comes first."""


def called(view: ActorView) -> str:
    """An actor's name, or the beginning of its key."""
    return view.name or short_keys(view.actor)


def _state(view: ActorView) -> str:
    if view.state is None:
        return SILENT
    return f"{view.state}: {view.waiting_for}" if view.waiting_for else str(view.state)


def _reasons(view: ActorView) -> str:
    said = [f"{one.reason} {one.count}" for one in view.reasons[:_MAX_REASONS]]
    more = len(view.reasons) - _MAX_REASONS
    return ", ".join(said) + (f", {more} more" if more > 0 else "")


def _text(sort: Sort, title: str, cell: Callable[[ActorView], str]) -> Column:
    return Column(sort, title, cell, lambda view: cell(view).casefold() or None, False)


def _number(
    sort: Sort, title: str, key: Callable[[ActorView], Any], shown: Callable[[Any], str]
) -> Column:
    def cell(view: ActorView) -> str:
        value = key(view)
        return "" if value is None else shown(value)

    return Column(sort, title, cell, key, True)


COLUMNS: Final = (
    _text(Sort.ACTOR, "actor", called),
    _text(Sort.TIER, "tier", lambda view: view.tier),
    _text(Sort.STATE, "state", _state),
    _number(Sort.POLICY, "holds", lambda view: view.policy, str),
    _number(Sort.GROUPS, "groups/min", lambda view: view.rates.groups_per_min, "{:,.1f}".format),
    _number(Sort.TOKENS, "tokens/s", lambda view: view.rates.tokens_per_s, "{:,.0f}".format),
    _number(Sort.BYTES, "bytes", lambda view: view.num_bytes, size),
    _number(Sort.ACCEPTED, "accepted", lambda view: view.num_accepted, "{:,}".format),
    _number(Sort.REFUSED, "refused", lambda view: view.num_refused, "{:,}".format),
    _number(Sort.PURGED, "purged", lambda view: view.num_purged or None, "{:,}".format),
    _number(Sort.LEASES, "leases", lambda view: view.num_open_leases, "{:,}".format),
    _number(Sort.STALENESS, "staleness", lambda view: view.staleness, "{:.1f}".format),
    _number(Sort.LATENCY, "latency", lambda view: view.latency_s, "{:.1f} s".format),
    _text(Sort.REASONS, "refused for", _reasons),
)


def arranged(
    actors: Iterable[ActorView], sort: Sort, reverse: bool = False, containing: str = ""
) -> list[ActorView]:
    """Sort by a column, and keep those in whose id or table row a word stands."""
    column = next(column for column in COLUMNS if column.sort is sort)
    kept = sorted(filter(lambda view: _has(view, containing), actors), key=lambda view: view.actor)
    valued = [view for view in kept if column.key(view) is not None]
    valued.sort(key=column.key, reverse=column.is_number != reverse)
    return valued + [view for view in kept if column.key(view) is None]


def _has(view: ActorView, word: str) -> bool:
    row = (view.actor, called(view), view.tier, _state(view), _reasons(view))
    return not word or any(word.casefold() in cell.casefold() for cell in row)
