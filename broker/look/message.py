"""A message of a queue, with what the log says of it: its verdict, its lease, its row in a batch.

The queue forgets a message once it is judged, so the log is what judged messages are found by.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct

from broker.interface import Record
from broker.logbook import LogItem
from broker.look.identifier import Identifier
from broker.look.life import find_verdict
from broker.tally import Tally
from schemas import ledger, names
from schemas.batch import Batch, Row, staleness
from schemas.errors import Rejected, UserError
from schemas.lease import Lease
from schemas.ledger import GroupAccepted, GroupRefused, VerdictEvent
from schemas.verdict import Outcome

UNJUDGED = "unjudged"
"""In the place of a verdict, where there is none yet."""


class Placed(NamedTuple):
    """A row and the batch that it is in."""

    step: int
    position: int
    """Of the row in its batch, from 0."""
    row: Row

    @property
    def staleness(self) -> int:
        return staleness(self.step, self.row.policy.version)


class Message(Struct, frozen=True, kw_only=True):
    """One message; the event is None, and the record there, while it has no verdict."""

    run: str
    stream: str
    sequence: int
    sha256: str
    actor: str
    """As the subject says."""
    time: float
    """Unix seconds: when it was judged; when it was stored, while it is not."""
    event: VerdictEvent | None = None
    record: Record | None = None
    lease_id: int | None = None
    """None where it is not known: it has no verdict, or was judged without being decoded."""
    lease: Lease | None = None
    placed: Placed | None = None
    twin: GroupAccepted | None = None
    """The acceptance of the same bytes, which the archive has."""

    @property
    def shard(self) -> str:
        return self.stream.removeprefix(names.rollouts_stream_prefix(self.run))

    @property
    def id(self) -> str:
        """As `broker why` takes it."""
        return f"{self.shard}:{self.sequence}"

    @property
    def verdict(self) -> str:
        match self.event:
            case GroupRefused(outcome=outcome):
                return str(outcome)
            case GroupAccepted():
                return str(Outcome.ACCEPTED)
            case None:
                return UNJUDGED

    @property
    def reason(self) -> str:
        """Why it was refused, in a word: the reason of a rejection, or `late`, ...; else empty."""
        match self.event:
            case GroupRefused(outcome=Outcome.REJECTED, reason=reason):
                return str(reason)
            case GroupRefused(outcome=outcome):
                return str(outcome)
            case _:
                return ""

    @property
    def detail(self) -> str:
        return self.event.detail if isinstance(self.event, GroupRefused) else ""

    @property
    def rewards(self) -> tuple[float, ...]:
        """The recomputed ones; empty where it did not get that far."""
        return self.event.rewards if self.event else ()


class Messages:
    """The judged messages of a log: a fold of its records."""

    def __init__(self, run: str, log: Iterable[LogItem] = ()) -> None:
        self.run = run
        self.tally = Tally()
        self._times: dict[tuple[str, int, str], float] = {}
        self._placed: dict[str, Placed] = {}
        """By the digest of the row."""
        self._archived: dict[str, GroupAccepted] = {}
        """By the digest of the group."""
        for item in log:
            self.add(item)

    def add(self, item: LogItem) -> None:
        """Enter the next record of the log."""
        self.tally.add(item)
        match item.content:
            case Batch(step=step, rows=rows):
                for position, row in enumerate(rows):
                    self._placed.setdefault(row.sha256, Placed(step, position, row))
            case ledger.LedgerEntry(events=events):
                for event in events:
                    if isinstance(event, GroupAccepted | GroupRefused):
                        self._times.setdefault(_identity(event), item.time)
                    if isinstance(event, GroupAccepted):
                        self._archived.setdefault(event.sha256, event)

    def of(self, event: VerdictEvent) -> Message:
        """The message that this verdict is on."""
        lease_id = event.lease_id
        is_accepted = isinstance(event, GroupAccepted)
        return Message(
            run=self.run,
            stream=event.stream,
            sequence=event.sequence,
            sha256=event.sha256,
            actor=event.actor,
            time=self._times[_identity(event)],
            event=event,
            lease_id=lease_id,
            lease=None if lease_id is None else self.tally.leases.get(lease_id),
            placed=self._placed.get(event.sha256) if is_accepted else None,
            twin=event if is_accepted else self._archived.get(event.sha256),
        )

    def at(self, stream: str, sequence: int) -> Iterator[Message]:
        """Those judged under a sequence, the newest first: several after a power loss."""
        return map(self.of, reversed(self.tally.judged.get((stream, sequence), [])))

    def of_lease(self, lease_id: int) -> list[Message]:
        """Every judged message that names a lease; the accepted one comes first."""
        found = [message for message in self if message.lease_id == lease_id]
        return sorted(found, key=lambda message: message.verdict != Outcome.ACCEPTED)

    def of_step(self, step: int) -> list[Message]:
        """The rows of a batch, in their order.

        Raises:
            UserError: the log is wrong, and has a row that was never accepted.
        """
        rows = next((cut.batch.rows for cut in self.tally.batches if cut.batch.step == step), ())
        strange = [row.lease_id for row in rows if row.sha256 not in self._archived]
        if strange:
            raise UserError(
                f"the batch of step {step} has a row of lease {strange[0]} that was never "
                f"accepted: `broker audit {self.run}` says what else is wrong"
            )
        return [self.of(self._archived[row.sha256]) for row in rows]

    def __iter__(self) -> Iterator[Message]:
        for events in self.tally.judged.values():
            yield from map(self.of, events)

    def find(self, identifier: Identifier) -> Message | None:
        """What an id names, if it is judged; of the answers to a lease, the accepted one.

        Raises:
            UserError: several messages have a digest that begins so, or nobody answered the lease.
        """
        lease_id = identifier.lease_id
        if lease_id is not None and lease_id in self.tally.leases:
            answers = self.of_lease(lease_id)
            if not answers:
                raise UserError(self._unanswered(lease_id))
            return answers[0]
        event = find_verdict(identifier, self.tally)
        return self.of(event) if event else None

    def _unanswered(self, lease_id: int) -> str:
        ends = self.tally.ends.get(lease_id)
        if ends:
            return f"lease {lease_id} was {ends[0]}: no message that names it was judged"
        actor = self.tally.leases[lease_id].actor
        return (
            f"lease {lease_id} is open: no answer to it is judged yet; `broker peek {self.run} "
            f"--actor {actor}` shows what waits in the queue"
        )


def queued(run: str, record: Record, sha256: str) -> Message:
    """A message that is still in its queue, before the log knows it."""
    try:
        actor = names.parse_rollouts_subject(record.subject).actor
    except Rejected:
        actor = "unknown"
    return Message(
        run=run,
        stream=record.stream,
        sequence=record.sequence,
        sha256=sha256,
        actor=actor,
        time=record.time,
        record=record,
    )


def _identity(event: VerdictEvent) -> tuple[str, int, str]:
    return event.stream, event.sequence, event.sha256
