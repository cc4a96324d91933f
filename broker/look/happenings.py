"""What happens in a run, one thing at a time: the events of both logs, and words that no log keeps.

Pure: decoded records in, happenings out.
"""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from broker.inventory import short_name
from broker.logbook import LogItem, PolicyItem, Unreadable
from broker.program.words import counted, figures, utc
from broker.purged import purge_name
from broker.tally import verdict_name
from schemas import ledger, names
from schemas.batch import Batch, staleness
from schemas.errors import Rejected
from schemas.heartbeat import Heartbeat
from schemas.policy import PolicyAnnouncement
from schemas.trainer_events import (
    IncarnationStarted,
    PoliciesRestored,
    StepSkipped,
    TrainerEntry,
    TrainerEvent,
    TrainerStarted,
)
from schemas.verdict import Outcome, Verdict
from schemas.wire import decode

_MAX_WORD_BYTES = 4 << 10


class Kind(StrEnum):
    """What kind of thing it is."""

    OPENED = "opened"
    STARTED = "started"
    """A coordinator or trainer took over its log."""
    RESTORED = "restored"
    LEASE = "lease"
    EXPIRED = "expired"
    ABANDONED = "abandoned"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CUT_OFF = "cut-off"
    """Nothing of an actor is accepted any more, and it gets no lease."""
    LET_IN = "let-in"
    """It is an actor like others again."""
    PURGE = "purge"
    """Messages are to leave a queue without a verdict, or have left it."""
    DROPPED = "dropped"
    """Accepted groups grew too old."""
    BATCH = "batch"
    INCARNATION = "incarnation"
    POLICY = "policy"
    SKIPPED = "skipped"
    """The update of a step was left out."""
    UNREADABLE = "unreadable"
    """Somebody else wrote this into a log, or it counts for nothing."""
    HEARTBEAT = "heartbeat"
    VERDICT = "verdict"
    """Word to an actor about a message; the log has it too."""


class Happening(Struct, frozen=True, kw_only=True):
    """One thing; `broker tail --json` prints each on a line."""

    time: float
    """Unix seconds: when it was stored, or when a word was heard here."""
    kind: Kind
    who: str
    """The actor whom it is about, `coordinator` or `trainer`."""
    text: str
    stream: str = ""
    """Where it stands, with its sequence; neither for a word that no log keeps."""
    sequence: int = 0


def of_log(run: str, item: LogItem) -> Iterator[Happening]:
    """What a record of LOG says, event by event."""
    match item.content:
        case Unreadable(detail=detail):
            told = [(Kind.UNREADABLE, names.COORDINATOR, detail)]
        case Batch() as batch:
            told = [(Kind.BATCH, names.COORDINATOR, _batch_words(batch))]
        case ledger.LedgerEntry(events=events):
            told = [_event(run, event) for event in events]
    for kind, who, text in told:
        yield Happening(
            time=item.time,
            kind=kind,
            who=who,
            text=text,
            stream=names.log_stream(run),
            sequence=item.sequence,
        )


def _event(run: str, event: ledger.LedgerEvent) -> tuple[Kind, str, str]:
    match event:
        case ledger.GroupAccepted() | ledger.GroupRefused():
            return _verdict(run, event)
        case ledger.LeaseIssued(lease=lease):
            task = f"{lease.environment.id} task {lease.task}"
            text = (
                f"lease {lease.lease_id}: {lease.group_size} rollouts of {task}, policy "
                f"{lease.least_policy} or newer, until {utc(lease.deadline)}"
            )
            return Kind.LEASE, lease.actor, text
        case ledger.LeaseExpired(lease_id=lease_id):
            return Kind.EXPIRED, names.COORDINATOR, f"lease {lease_id}: its deadline passed"
        case ledger.LeaseAbandoned(lease_id=lease_id):
            return Kind.ABANDONED, names.COORDINATOR, f"lease {lease_id} was given back"
        case ledger.GroupsDropped(step=step, lease_ids=lease_ids):
            groups = counted(len(lease_ids), "accepted group")
            return Kind.DROPPED, names.COORDINATOR, f"{groups} too old for the batch of step {step}"
        case ledger.RunOpened(settings=settings):
            text = f"run {settings.name}, {counted(settings.trainer.num_steps, 'step')}"
            return Kind.OPENED, names.COORDINATOR, text
        case ledger.CoordinatorStarted(instance=instance, host=host, pid=pid):
            return Kind.STARTED, names.COORDINATOR, f"{instance} on {host}, process {pid}"
        case ledger.RunRestored(taken=taken):
            return Kind.RESTORED, names.COORDINATOR, f"from the backup of {utc(taken)}"
        case (
            ledger.ActorCutOff()
            | ledger.ActorLetIn()
            | ledger.PurgeBegun()
            | ledger.MessagesPurged()
        ):
            return _removal(run, event)


def _removal(
    run: str,
    event: ledger.ActorCutOff | ledger.ActorLetIn | ledger.PurgeBegun | ledger.MessagesPurged,
) -> tuple[Kind, str, str]:
    match event:
        case ledger.ActorCutOff(actor=actor):
            return Kind.CUT_OFF, actor, "its messages are rejected, it has no leases"
        case ledger.ActorLetIn(actor=actor):
            return Kind.LET_IN, actor, "it may work again"
        case ledger.PurgeBegun(subject=subject, num_messages=num_messages):
            what = f"up to {counted(num_messages, 'message')} on {subject}"
        case ledger.MessagesPurged(num_messages=num_messages):
            what = f"{counted(num_messages, 'message')} gone without a verdict"
    name = f"{purge_name(event.reason)} {event.purge} of {short_name(run, event.stream)}"
    return Kind.PURGE, names.COORDINATOR, f"{name}: {what}"


def _verdict(run: str, event: ledger.VerdictEvent) -> tuple[Kind, str, str]:
    lease = "no lease" if event.lease_id is None else f"lease {event.lease_id}"
    what = f"message {short_name(run, event.stream)}:{event.sequence}, {lease}"
    rewards = f"rewards {figures(event.rewards)}" if event.rewards else ""
    if isinstance(event, ledger.GroupAccepted):
        return Kind.ACCEPTED, event.actor, f"{what}: policy {event.policy}, {rewards}"
    said = "; ".join(filter(None, (verdict_name(event), event.detail, rewards)))
    return Kind.REFUSED, event.actor, f"{what}: {said}"


def _batch_words(batch: Batch) -> str:
    actors = {row.actor for row in batch.rows}
    oldest = max(staleness(batch.step, row.policy.version) for row in batch.rows)
    return (
        f"step {batch.step}: {counted(len(batch.rows), 'row')} of {counted(len(actors), 'actor')}, "
        f"staleness {oldest} at most"
    )


def of_policies(run: str, item: PolicyItem) -> Happening:
    """What a record of POLICIES says."""
    kind, text = _policy_words(item)
    return Happening(
        time=item.time,
        kind=kind,
        who=names.TRAINER,
        text=text,
        stream=names.policies_stream(run),
        sequence=item.sequence,
    )


def _policy_words(item: PolicyItem) -> tuple[Kind, str]:
    match item.content:
        case Unreadable(detail=detail):
            return Kind.UNREADABLE, detail
        case PolicyAnnouncement(policy=policy, metrics=metrics):
            took = f"step {metrics.step_s:.2g} s, waited {metrics.waited_s:.2g} s"
            return Kind.POLICY, f"policy {policy}: loss {metrics.loss:.4g}, {took}"
        case TrainerEntry(event=event):
            return _trainer_event(event)


def _trainer_event(event: TrainerEvent) -> tuple[Kind, str]:
    match event:
        case TrainerStarted(instance=instance, host=host, pid=pid):
            return Kind.STARTED, f"{instance} on {host}, process {pid}"
        case IncarnationStarted(incarnation=number, numerics=numerics, resumed_from=version):
            ranks = counted(numerics.world_size, "rank")
            return Kind.INCARNATION, f"incarnation {number} on {ranks}, from version {version}"
        case StepSkipped(step=step, detail=detail):
            return Kind.SKIPPED, f"the update of step {step}: {detail}"
        case PoliciesRestored():
            return Kind.RESTORED, "from a backup: policies go on in the next incarnation"


def of_heartbeat(subject: str, data: bytes, now: float) -> Happening | None:
    """A heartbeat; None for what is none, or is of somebody else than its subject says."""
    try:
        said = decode(data, Heartbeat, max_wire_bytes=_MAX_WORD_BYTES)
    except Rejected:
        return None
    if said.who != names.last_token(subject):
        return None
    policy = f", policy {said.policy}" if said.policy else ""
    waits = f", waits for {said.waiting_for}" if said.waiting_for else ""
    text = f"{said.state}{policy}, {said.tokens_per_s:.0f} tokens/s{waits}"
    return Happening(time=now, kind=Kind.HEARTBEAT, who=said.who, text=text)


def of_verdict(run: str, data: bytes, now: float) -> Happening | None:
    """What an actor is told of a message; None for what is no verdict."""
    try:
        said = decode(data, Verdict, max_wire_bytes=_MAX_WORD_BYTES)
    except Rejected:
        return None
    rejected = said.outcome is Outcome.REJECTED
    outcome = f"rejected({said.reason})" if rejected else str(said.outcome)
    told = "; ".join(filter(None, (outcome, said.detail)))
    text = f"message {short_name(run, said.stream)}:{said.sequence}: {told}"
    return Happening(time=now, kind=Kind.VERDICT, who=said.actor, text=text)
