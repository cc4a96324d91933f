"""Looks at stored messages: decoded, with their meaning, and left where they are.

Every look is a direct get by sequence, which moves no consumer. What a stranger sent is decoded
under the codec's guards; what does not decode is shown as undecodable, with its first bytes in hex.
"""

import contextlib
from collections import Counter

from msgspec import Struct

from broker.interface import Broker, Record
from broker.inventory import Inventory, read_inventory
from broker.logbook import PolicyContent, Unreadable, decode_policy, first_event, log_item
from broker.look.listing import last_policy
from schemas import names
from schemas.batch import Batch
from schemas.errors import BrokerError, Rejected, UserError
from schemas.lease import EngineProfile
from schemas.ledger import LedgerEntry
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.rollout import RolloutGroup, check_shape
from schemas.trainer_events import TrainerEntry
from schemas.verdict import Reason
from schemas.wire import decode, sha256_hex

_PREVIEW_BYTES = 32
_ANY_VOCABULARY = 1 << 22
"""Bound on token ids where the run's own vocabulary is not known."""


class GroupView(Struct, frozen=True, kw_only=True):
    """What a group says of itself; nothing of it is verified."""

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
    num_bytes: int
    sha256: str
    time: float
    """Unix seconds, when it was stored."""
    group: GroupView | None = None
    """In a queue."""
    said: str | None = None
    """In a log: what the entry is."""
    undecodable: Undecodable | None = None


class Context(Struct, frozen=True, kw_only=True):
    """What gives a message its meaning."""

    run: str
    announced: PolicyId | None
    vocabulary_size: int


async def peek(
    broker: Broker, run: str, *, stream: str = "", last: int = 1, sequence: int | None = None
) -> list[Sight]:
    """The last messages of a stream, oldest first; of all queues where none is named.

    A stream is named as `ls` does, a queue also by its shard, the two logs as LOG and POLICIES.

    Raises:
        UserError: there is no such run or stream, or no message under this sequence.
    """
    inventory = await read_inventory(broker)
    inventory.require(run)
    chosen = _chosen_streams(inventory, run, stream)
    if sequence is not None:
        records = [await _the_record(broker, run, chosen, sequence)]
    else:
        records = [r for name in chosen for r in await _last_records(broker, name, last)]
    context = await _read_context(broker, inventory, run)
    return [look(record, context) for record in records]


def look(record: Record, context: Context) -> Sight:
    """Decode one record. Raises nothing, whatever its bytes are."""
    group, said, undecodable = None, None, None
    try:
        if record.stream == names.log_stream(context.run):
            said = _log_words(log_item(context.run, record).content)
        elif record.stream == names.policies_stream(context.run):
            said = _policy_words(decode_policy(context.run, record))
        else:
            group = _view(record, context)
    except Rejected as refusal:
        preview = record.data[:_PREVIEW_BYTES].hex(" ", -4)
        undecodable = Undecodable(reason=refusal.reason, detail=refusal.detail, preview=preview)
    return Sight(
        stream=record.stream,
        sequence=record.sequence,
        subject=record.subject,
        num_bytes=len(record.data),
        sha256=sha256_hex(record.data),
        time=record.time,
        group=group,
        said=said,
        undecodable=undecodable,
    )


def _view(record: Record, context: Context) -> GroupView:
    names.parse_rollouts_subject(record.subject)
    group = decode(record.data, RolloutGroup)
    for rollout in group.rollouts:
        check_shape(rollout, context.vocabulary_size)
    newest = context.announced
    return GroupView(
        lease_id=group.lease_id,
        actor=group.actor,
        policy=group.policy,
        staleness=newest.version - group.policy.version if newest else None,
        engine=_engine_words(group.profile),
        num_tokens=tuple(len(rollout.loss_mask) for rollout in group.rollouts),
        num_sampled=tuple(rollout.loss_mask.count(1) for rollout in group.rollouts),
        claimed_rewards=tuple(rollout.claimed_reward for rollout in group.rollouts),
    )


def _engine_words(profile: EngineProfile) -> str:
    """Name and version; many engines say their name in the version too."""
    name, version = profile.engine, profile.version
    return version if version.startswith(f"{name} ") else f"{name} {version}"


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


def _chosen_streams(inventory: Inventory, run: str, chosen: str) -> tuple[str, ...]:
    if not chosen:
        return inventory.queues(run)
    own = inventory.own(run)
    logs = {"LOG": names.log_stream(run), "POLICIES": names.policies_stream(run)}
    for name in (chosen, names.rollouts_stream_prefix(run) + chosen, logs.get(chosen)):
        if name in own:
            return (name,)
    raise UserError(f"run {run} has no stream {chosen[:80]!r}; it has {', '.join(own)}")


async def _last_records(broker: Broker, stream: str, count: int) -> list[Record]:
    """In the order of the stream. A queue has gaps where messages were judged."""
    state = await broker.state(stream)
    wanted = min(count, state.num_messages)
    records: list[Record] = []
    for sequence in range(state.last_sequence, state.first_sequence - 1, -1):
        if len(records) == wanted:
            break
        record = await broker.get(stream, sequence)
        if record is not None:
            records.append(record)
    return records[::-1]


async def _the_record(broker: Broker, run: str, streams: tuple[str, ...], sequence: int) -> Record:
    if len(streams) != 1:
        raise UserError(f"say which --stream message {sequence} is in: {', '.join(streams)}")
    (stream,) = streams
    record = await broker.get(stream, sequence)
    if record is not None:
        return record
    last = (await broker.state(stream)).last_sequence
    if sequence > last:
        ends = f"its last one was {last}" if last else "it never had one"
        raise UserError(f"{stream} has no message {sequence}: {ends}")
    shard = stream.removeprefix(names.rollouts_stream_prefix(run))
    raise UserError(
        f"message {sequence} has left {stream}: `broker why {shard}:{sequence} --run {run}` says "
        "what became of it"
    )


async def _read_context(broker: Broker, inventory: Inventory, run: str) -> Context:
    opened = None
    with contextlib.suppress(BrokerError):
        opened = await first_event(broker, run)
    return Context(
        run=run,
        announced=await last_policy(broker, inventory, opened),
        vocabulary_size=opened.vocabulary_size if opened else _ANY_VOCABULARY,
    )
