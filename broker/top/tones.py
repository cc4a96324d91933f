"""What colour says in the screen: never more than the words beside it do."""

from enum import StrEnum

from broker.top.sort import Sort
from broker.top.view import ActorView
from schemas.heartbeat import State

_AT_WORK = {State.GENERATING, State.PUBLISHING, State.FETCHING, State.LOADING}
_HELD_UP = {State.QUEUE_FULL, State.COORDINATOR_AWAY, State.STORE_AWAY, State.CONNECTING}
_STUCK = {State.CANNOT_CONTRIBUTE, State.FEED_FROZEN}
_MANY, _MOST = 0.1, 0.5
"""Shares of an actor's messages that were refused."""


class Tone(StrEnum):
    """How something is meant; the names are classes of the style sheet."""

    PLAIN = "plain"
    FAINT = "faint"
    STRONG = "strong"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


def tone_of(column: Sort, view: ActorView) -> Tone:
    """The tone of a cell."""
    match column:
        case Sort.ACTOR:
            return Tone.FAINT if view.state is None else Tone.STRONG
        case Sort.STATE:
            return tone_of_state(view.state)
        case Sort.REFUSED | Sort.REASONS:
            return _tone_of_refusals(view)
        case Sort.GROUPS | Sort.TOKENS if view.rates.groups_per_min == 0:
            return Tone.FAINT
        case Sort.ACCEPTED | Sort.LEASES | Sort.BYTES if view.num_accepted == 0:
            return Tone.FAINT
        case _:
            return Tone.PLAIN


def tone_of_state(state: State | None) -> Tone:
    """Who works, who waits through no fault of his, and who cannot go on."""
    if state is None or state in (State.STOPPED, State.DRAINING, State.FINISHED):
        return Tone.FAINT
    if state in _AT_WORK:
        return Tone.GOOD
    if state in _HELD_UP:
        return Tone.WARNING
    return Tone.BAD if state in _STUCK else Tone.PLAIN


def tone_of_verdict(verdict: str) -> Tone:
    """`accepted`, `late`, `rejected(tokens)`, ..."""
    if verdict == "accepted":
        return Tone.GOOD
    return Tone.BAD if verdict.startswith("rejected") else Tone.WARNING


def _tone_of_refusals(view: ActorView) -> Tone:
    share = view.num_refused / max(1, view.num_accepted + view.num_refused)
    if share < _MANY:
        return Tone.FAINT if view.num_refused == 0 else Tone.PLAIN
    return Tone.BAD if share >= _MOST else Tone.WARNING
