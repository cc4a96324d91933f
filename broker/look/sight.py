"""What is seen of one stored message: decoded, with its meaning. Pure.

What a stranger sent is decoded under the codec's guards; what does not decode is shown as
undecodable, with its first bytes in hex.
"""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from broker.interface import Record
from broker.logbook import PolicyContent, Unreadable, decode_policy, log_item
from broker.look.held import Held, Place, read_group
from broker.look.message import Message, queued
from schemas import names
from schemas.batch import Batch
from schemas.errors import Rejected
from schemas.lease import EngineProfile
from schemas.ledger import GroupAccepted, LedgerEntry
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.rollout import RolloutGroup
from schemas.trainer_events import TrainerEntry
from schemas.verdict import Reason
from schemas.wire import sha256_hex

_PREVIEW_BYTES = 32
ANY_VOCABULARY = 1 << 22
"""Bound on token ids where the run's own vocabulary is not known."""


class GroupView(Struct, frozen=True, kw_only=True):
    """What a group says of itself; nothing of it is verified here."""

    lease_id: int
    actor: str
    policy: PolicyId
    staleness: int | None
    """Versions behind the last announced policy; None before the first announcement."""
    engine: str
    num_tokens: tuple[int, ...]
    """Of each rollout, prompt included."""
    num_sampled: tuple[int, ...]
    claimed_rewards: tuple[float, ...]


class VerdictView(Struct, frozen=True, kw_only=True):
    """What the log says of a judged message."""

    verdict: str
    """`accepted`, `stale`, `late`, `duplicate` or `rejected`."""
    reason: str
    """Why it was refused, in a word: that of a rejection, or `late`, ..."""
    detail: str
    actor: str
    lease_id: int | None
    rewards: tuple[float, ...]
    """The recomputed ones; empty where it did not get that far."""
    step: int | None
    """Of the batch that has it."""
    staleness: int | None
    """In that batch."""


class Undecodable(Struct, frozen=True, kw_only=True):
    """Why the bytes are not what they should be, and how they begin."""

    reason: str
    detail: str
    preview: str
    """Hex."""


class Sight(Struct, frozen=True, kw_only=True):
    """One stored message; `broker peek --json` prints a list of them."""

    stream: str
    sequence: int
    subject: str
    """Empty where the queue has forgotten it."""
    num_bytes: int | None
    """None where the bytes are not to be had."""
    sha256: str
    time: float
    """Unix seconds, when it was stored; of a judged message, when it was judged."""
    group: GroupView | None = None
    """In a queue, or judged."""
    said: str | None = None
    """In a log: what the entry is."""
    undecodable: Undecodable | None = None
    verdict: VerdictView | None = None
    """None in a log, and before there is one."""
    place: Place | None = None
    """Where its bytes were read; None for a log."""
    missing: str = ""
    """Why the bytes are not to be had."""


class Context(Struct, frozen=True, kw_only=True):
    """What gives a message its meaning."""

    run: str
    announced: PolicyId | None
    vocabulary_size: int


def look(record: Record, context: Context) -> Sight:
    """Decode one record of a queue or a log. Raises nothing, whatever its bytes are."""
    if record.stream == names.log_stream(context.run):
        return _look_at_log(record, lambda: _log_words(log_item(context.run, record).content))
    if record.stream == names.policies_stream(context.run):
        return _look_at_log(record, lambda: _policy_words(decode_policy(context.run, record)))
    message = queued(context.run, record, sha256_hex(record.data))
    return sight_of(message, Held(place=Place.QUEUE, data=record.data), context)


def sight_of(message: Message, held: Held, context: Context) -> Sight:
    """A message with the bytes that were found for it. Raises nothing, whatever these are."""
    group, undecodable, subject = None, None, message.record.subject if message.record else ""
    try:
        if message.record is not None:
            names.parse_rollouts_subject(subject)
        if not held.missing:
            decoded = read_group(held.data, context.vocabulary_size)
            group = _view(decoded, context)
            if isinstance(message.event, GroupAccepted):
                # Intake has made sure that the subject said the same.
                subject = names.rollouts_subject(
                    message.run, message.shard, decoded.policy, message.actor
                )
    except Rejected as refusal:
        undecodable = undecodable_of(held.data, refusal)
    return Sight(
        stream=message.stream,
        sequence=message.sequence,
        subject=subject,
        num_bytes=None if held.missing else len(held.data),
        sha256=message.sha256,
        time=message.time,
        group=group,
        undecodable=undecodable,
        verdict=_verdict(message),
        place=held.place,
        missing=held.missing,
    )


def undecodable_of(data: bytes, refusal: Rejected) -> Undecodable:
    preview = data[:_PREVIEW_BYTES].hex(" ", -4)
    return Undecodable(reason=refusal.reason, detail=refusal.detail, preview=preview)


def engine_words(profile: EngineProfile) -> str:
    """Name and version; many engines say their name in the version too."""
    name, version = profile.engine, profile.version
    return version if version.startswith(f"{name} ") else f"{name} {version}"


def _view(group: RolloutGroup, context: Context) -> GroupView:
    newest = context.announced
    return GroupView(
        lease_id=group.lease_id,
        actor=group.actor,
        policy=group.policy,
        staleness=newest.version - group.policy.version if newest else None,
        engine=engine_words(group.profile),
        num_tokens=tuple(len(rollout.loss_mask) for rollout in group.rollouts),
        num_sampled=tuple(rollout.loss_mask.count(1) for rollout in group.rollouts),
        claimed_rewards=tuple(rollout.claimed_reward for rollout in group.rollouts),
    )


def _verdict(message: Message) -> VerdictView | None:
    if message.event is None:
        return None
    placed = message.placed
    return VerdictView(
        verdict=message.verdict,
        reason=message.reason,
        detail=message.detail,
        actor=message.actor,
        lease_id=message.lease_id,
        rewards=message.rewards,
        step=placed.step if placed else None,
        staleness=placed.staleness if placed else None,
    )


def _look_at_log(record: Record, say: Callable[[], str]) -> Sight:
    said, undecodable = None, None
    try:
        said = say()
    except Rejected as refusal:
        undecodable = undecodable_of(record.data, refusal)
    return Sight(
        stream=record.stream,
        sequence=record.sequence,
        subject=record.subject,
        num_bytes=len(record.data),
        sha256=sha256_hex(record.data),
        time=record.time,
        said=said,
        undecodable=undecodable,
    )


def _log_words(content: LedgerEntry | Batch | Unreadable) -> str:
    match content:
        case Unreadable(detail=detail):
            raise Rejected(Reason.SCHEMA, detail)
        case Batch(step=step, rows=rows, instance=instance):
            return f"batch of step {step}, {len(rows)} rows, by {instance}"
        case LedgerEntry(events=events, instance=instance):
            counts = Counter(type(event).__name__ for event in events)
            listed = ", ".join(f"{count} {name}" for name, count in counts.items())
            return f"{listed}, by {instance}"


def _policy_words(content: PolicyContent) -> str:
    match content:
        case Unreadable(detail=detail):
            raise Rejected(Reason.SCHEMA, detail)
        case PolicyAnnouncement(policy=policy, instance=instance):
            return f"policy {policy} announced, by {instance}"
        case TrainerEntry(event=event):
            return f"{type(event).__name__}, by {event.instance}"
