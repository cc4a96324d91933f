"""The logs' events in words, for `broker why`."""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from broker.interface import Record
from broker.logbook import PolicyItem
from broker.program.words import counted, figures, size, utc
from broker.purged import purge_name
from broker.tally import verdict_name
from schemas import ledger, names
from schemas.batch import Batch, staleness
from schemas.policy import PolicyAnnouncement
from schemas.purge import PurgeReason
from schemas.trainer_events import StepSkipped, TrainerEntry


class What(StrEnum):
    """What happens at a moment of a group's life."""

    ASKED = "asked"
    PUBLISHED = "published"
    JUDGED = "judged"
    PURGED = "purged"
    """It left the queue without a verdict."""
    ARCHIVED = "archived"
    ENDED = "ended"
    """Its lease expired or was given back."""
    DROPPED = "dropped"
    BATCH = "batch"
    POLICY = "policy"
    NOW = "now"
    """How things stand; it has no time."""


class Moment(Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    time: float | None
    """Unix seconds, when it was stored; None where that is not known."""
    what: What
    text: str


def asked(time: float, event: ledger.LeaseIssued) -> Moment:
    lease = event.lease
    return Moment(
        time=time,
        what=What.ASKED,
        text=f"lease {lease.lease_id}: {lease.actor} is asked for {lease.group_size} rollouts of "
        f"{lease.environment.id} task {lease.task} with seed {lease.seed}, made with policy "
        f"{lease.least_policy} or newer, until {utc(lease.deadline)}",
    )


def ended(time: float, event: ledger.LeaseExpired | ledger.LeaseAbandoned) -> Moment:
    how = (
        "expired: its deadline passed without an answer"
        if isinstance(event, ledger.LeaseExpired)
        else "was given back, or its actor started again without it or was cut off"
    )
    return Moment(time=time, what=What.ENDED, text=f"lease {event.lease_id} {how}")


def judged(time: float, event: ledger.VerdictEvent, run: str) -> Iterator[Moment]:
    """What was published, and the verdict on it; an accepted group lies in the archive."""
    shard = event.stream.removeprefix(names.rollouts_stream_prefix(run))
    # The queue forgets a message, and its time with it, once it is judged.
    yield Moment(
        time=None,
        what=What.PUBLISHED,
        text=f"message {shard}:{event.sequence} by {event.actor}, sha256 {event.sha256}",
    )
    rewards = f"rewards {figures(event.rewards)}" if event.rewards else ""
    parts = (f"{part.name} {figures(part.values)}" for part in event.parts)
    if isinstance(event, ledger.GroupRefused):
        closes = "its lease is closed" if event.closes_lease else ""
        said = (event.detail, rewards, *parts, closes)
    else:
        tokens = f"{sum(event.num_tokens)} tokens"
        said = (f"made with policy {event.policy}", rewards, *parts, tokens)
    facts = "; ".join(fact for fact in said if fact)
    yield Moment(time=time, what=What.JUDGED, text=f"{verdict_name(event)}: {facts}")
    if isinstance(event, ledger.GroupAccepted):
        yield Moment(
            time=time,
            what=What.ARCHIVED,
            text=f"{size(event.length)} at offset {event.offset} of "
            f"{names.segment_key(run, event.segment)}",
        )


def purged(
    time: float,
    run: str,
    sequence: int,
    begun: ledger.PurgeBegun | None,
    told: ledger.MessagesPurged,
) -> Iterator[Moment]:
    """A message that nobody looked at: LOG knows its place, and what it shared with the others."""
    shard = told.stream.removeprefix(names.rollouts_stream_prefix(run))
    subject = f" on {begun.subject}" if begun else ""
    yield Moment(
        time=None,
        what=What.PUBLISHED,
        text=f"message {shard}:{sequence}{subject}; nobody looked at it",
    )
    cut_off = told.reason is PurgeReason.CUT_OFF
    why = "its actor was cut off" if cut_off else "an operator had it removed"
    yield Moment(
        time=time,
        what=What.PURGED,
        text=f"{purge_name(told.reason)}: {why}, with all of purge {told.purge}, "
        f"{counted(told.num_messages, 'message')}; it has no verdict",
    )


def dropped(time: float, event: ledger.GroupsDropped) -> Moment:
    return Moment(time=time, what=What.DROPPED, text=f"too old for the batch of step {event.step}")


def in_batch(time: float, batch: Batch, index: int) -> Moment:
    row = batch.rows[index]
    return Moment(
        time=time,
        what=What.BATCH,
        text=f"row {index + 1} of {len(batch.rows)} in the batch of step {batch.step}: staleness "
        f"{staleness(batch.step, row.policy.version)}, advantages "
        f"{figures(row.advantages, signed=True)}",
    )


def trained(item: PolicyItem, step: int) -> Iterator[Moment]:
    """What the trainer's log says of a step."""
    match item.content:
        case PolicyAnnouncement(policy=policy, manifest_sha256=sha256) if policy.version == step:
            text = f"step {step} made policy {policy}, manifest {sha256}"
            yield Moment(time=item.time, what=What.POLICY, text=text)
        case TrainerEntry(event=StepSkipped(step=skipped) as event) if skipped == step:
            text = (
                f"incarnation {event.incarnation} left out the update of step {step}: "
                f"{event.detail}"
            )
            yield Moment(time=item.time, what=What.POLICY, text=text)


def queued(record: Record, run: str) -> Iterator[Moment]:
    """A message that has no verdict yet."""
    shard = record.stream.removeprefix(names.rollouts_stream_prefix(run))
    text = f"message {shard}:{record.sequence} on {record.subject}, {size(len(record.data))}"
    yield Moment(time=record.time, what=What.PUBLISHED, text=text)
    yield now("it is in the queue and has no verdict yet")


def lost_at_restore() -> Moment:
    return now("it had no verdict when the backup was taken that the run was restored from: lost")


def now(text: str) -> Moment:
    return Moment(time=None, what=What.NOW, text=text)
