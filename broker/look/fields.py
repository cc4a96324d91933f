"""The fields of a message that `broker peek --where` can name.

Most are in the log; the others take the message's bytes, which are read only where what the log
knows does not decide.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from broker.look.message import UNJUDGED, Message
from schemas.arrays import unpack_f32
from schemas.ledger import GroupAccepted
from schemas.rollout import Rollout, RolloutGroup
from schemas.verdict import Outcome, Reason

Value = float | str | None
"""None: this message has no such figure."""

REASONS: Final = frozenset(
    str(word)
    for word in (*Reason, *Outcome)
    if word not in (Reason.NONE, Outcome.ACCEPTED, Outcome.REJECTED)
)
"""Why a message was refused, in a word: see `Message.reason`."""


class Looked(Struct, frozen=True, kw_only=True):
    """A message as far as it has been looked at."""

    message: Message
    newest: int | None
    """Version of the last announced policy."""
    now: float
    """Unix seconds."""
    is_read: bool = False
    """True once its bytes were asked for, whether they were to be had or not."""
    num_bytes: int | None = None
    group: RolloutGroup | None = None
    """None where the bytes were not read, are not to be had, or are no group."""


class Field(Struct, frozen=True, kw_only=True):
    """One thing that can be named."""

    value: Callable[[Looked], Value]
    is_text: bool = False
    in_bytes: bool = False
    """Where the log does not know it, the message's bytes may."""
    words: frozenset[str] | None = None
    """All that a text can be, where these are few."""


class _Figures(NamedTuple):
    """Figures of a group's rollouts or tokens: each has a smallest, a mean and a largest."""

    values: Callable[[Looked], Sequence[float]]
    in_bytes: bool = False


def fields(parts: Iterable[str] = ()) -> dict[str, Field]:
    """All fields by name; `parts` are the names of the environment's figures, such as exact."""
    figures = {**_FIGURES, **{f"part.{name}": _Figures(_part(name)) for name in parts}}
    several = {
        f"{name}.{statistic}": Field(value=_statistic(values, of), in_bytes=in_bytes)
        for name, (values, in_bytes) in figures.items()
        for statistic, of in _STATISTICS.items()
    }
    return {**_SINGLE, **several}


def _statistic(
    values: Callable[[Looked], Sequence[float]], of: Callable[[Sequence[float]], float]
) -> Callable[[Looked], Value]:
    def value(looked: Looked) -> Value:
        found = values(looked)
        return of(found) if found else None

    return value


def _part(name: str) -> Callable[[Looked], Sequence[float]]:
    def values(looked: Looked) -> Sequence[float]:
        event = looked.message.event
        found = (part.values for part in event.parts if part.name == name) if event else ()
        return next(iter(found), ())

    return values


def _rollouts(looked: Looked) -> Sequence[Rollout]:
    return looked.group.rollouts if looked.group else ()


def _advantages(looked: Looked) -> Sequence[float]:
    placed = looked.message.placed
    return placed.row.advantages if placed else ()


def _claimed(looked: Looked) -> Sequence[float]:
    return [rollout.claimed_reward for rollout in _rollouts(looked)]


def _logprobs(looked: Looked) -> Sequence[float]:
    return [value for rollout in _rollouts(looked) for value in unpack_f32(rollout.logprobs)]


def _sampled(looked: Looked) -> Sequence[float]:
    return [rollout.loss_mask.count(1) for rollout in _rollouts(looked)]


def _tokens(looked: Looked) -> Sequence[float]:
    event = looked.message.event
    if isinstance(event, GroupAccepted):
        return event.num_tokens
    return [len(rollout.loss_mask) for rollout in _rollouts(looked)]


def _bytes(looked: Looked) -> Value:
    accepted = looked.message.twin
    return accepted.length if accepted else looked.num_bytes


def _lease(looked: Looked) -> Value:
    known = looked.message.lease_id
    return looked.group.lease_id if known is None and looked.group else known


def _task(looked: Looked) -> Value:
    return looked.message.lease.task if looked.message.lease else None


def _step(looked: Looked) -> Value:
    return looked.message.placed.step if looked.message.placed else None


def version(looked: Looked) -> int | None:
    """Of the policy that made it."""
    accepted = looked.message.twin
    if accepted is not None:
        return accepted.policy.version
    return looked.group.policy.version if looked.group else None


def staleness(looked: Looked) -> int | None:
    """In its batch; for what is in none, behind the last announced policy."""
    if looked.message.placed is not None:
        return looked.message.placed.staleness
    made_with = version(looked)
    return None if looked.newest is None or made_with is None else looked.newest - made_with


def _engine(looked: Looked) -> Value:
    return looked.group.profile.engine if looked.group else None


_SINGLE: Final[Mapping[str, Field]] = {
    "actor": Field(value=lambda looked: looked.message.actor, is_text=True),
    "age": Field(value=lambda looked: looked.now - looked.message.time),
    "bytes": Field(value=_bytes, in_bytes=True),
    "detail": Field(value=lambda looked: looked.message.detail, is_text=True),
    "engine": Field(value=_engine, is_text=True, in_bytes=True),
    "lease": Field(value=_lease, in_bytes=True),
    "reason": Field(
        value=lambda looked: looked.message.reason or None, is_text=True, words=REASONS
    ),
    "sequence": Field(value=lambda looked: looked.message.sequence),
    "shard": Field(value=lambda looked: looked.message.shard, is_text=True),
    "staleness": Field(value=staleness, in_bytes=True),
    "step": Field(value=_step),
    "task": Field(value=_task),
    "verdict": Field(
        value=lambda looked: looked.message.verdict,
        is_text=True,
        words=frozenset([*map(str, Outcome), UNJUDGED]),
    ),
    "version": Field(value=version, in_bytes=True),
}

_FIGURES: Final[Mapping[str, _Figures]] = {
    "advantage": _Figures(_advantages),
    "claimed": _Figures(_claimed, in_bytes=True),
    "logprob": _Figures(_logprobs, in_bytes=True),
    "reward": _Figures(lambda looked: looked.message.rewards),
    "sampled": _Figures(_sampled, in_bytes=True),
    "tokens": _Figures(_tokens, in_bytes=True),
}

_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "min": min,
    "mean": lambda values: sum(values) / len(values),
    "max": max,
}
