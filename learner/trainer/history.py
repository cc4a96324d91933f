"""What the trainer's log says: a fold of POLICIES, and nothing else.

Two trainers that have folded the same log know the same incarnations and the same announced
policies. Every entry has an identity of its own, so applying it twice changes nothing the second
time.
"""

import msgspec
import structlog

from broker.interface import Broker, Record
from broker.policies.signing import verify_announcement
from schemas.errors import Rejected, SignatureInvalid
from schemas.names import policies_stream, policy_subject
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.trainer_events import IncarnationStarted, StepSkipped, TrainerEntry, TrainerStarted
from schemas.wire import decode_own

logger = structlog.get_logger()


class History(msgspec.Struct, kw_only=True):
    """Incarnations and announced policies, in the order of the log."""

    last_sequence: int = 0
    """Of POLICIES: the fence of the next write."""
    incarnations: dict[int, IncarnationStarted] = {}
    announced: dict[PolicyId, PolicyAnnouncement] = {}
    skipped: set[PolicyId] = set()
    """The policies that equal the one before them, because the update was not finite."""

    @property
    def current(self) -> IncarnationStarted | None:
        """The incarnation that policies are made in; None before the first."""
        return self.incarnations[max(self.incarnations)] if self.incarnations else None

    def last_version(self, incarnation: int) -> int:
        """The last version announced in an incarnation, or else the one that it goes on from."""
        versions = [
            policy.version for policy in self.announced if policy.incarnation == incarnation
        ]
        return max(versions, default=self.incarnations[incarnation].resumed_from)

    def owner(self, version: int) -> int:
        """The incarnation whose state at `version` the run goes on from: the last that has one."""
        return max(
            (
                started.incarnation
                for started in self.incarnations.values()
                if started.resumed_from <= version
            ),
            default=1,
        )

    def origin(self, incarnation: int) -> PolicyId | None:
        """The announced policy that an incarnation's first one is equal to; None for the initial
        one."""
        version = self.incarnations[incarnation].resumed_from
        earlier = (PolicyId(before, version) for before in range(incarnation - 1, 0, -1))
        return next((policy for policy in earlier if policy in self.announced), None)

    def before(self, policy: PolicyId) -> PolicyId | None:
        """The announced policy that this one was made from; None for the initial one."""
        if policy.version > self.incarnations[policy.incarnation].resumed_from:
            return PolicyId(policy.incarnation, policy.version - 1)
        return self.origin(policy.incarnation)

    def apply(self, event: IncarnationStarted | StepSkipped | TrainerStarted) -> None:
        """Fold one of the trainer's events other than announcements."""
        match event:
            case TrainerStarted():
                pass
            case IncarnationStarted(incarnation=incarnation):
                self.incarnations.setdefault(incarnation, event)
            case StepSkipped(incarnation=incarnation, step=step):
                self.skipped.add(PolicyId(incarnation, step))

    def announce(self, announcement: PolicyAnnouncement) -> None:
        """Fold one announcement."""
        self.announced.setdefault(announcement.policy, announcement)

    def apply_record(self, run: str, run_key: str, record: Record) -> None:
        """Fold one record of POLICIES.

        What the trainer cannot have written is passed over with a warning: the log keeps it for
        ever, and a run must not end by it.
        """
        self.last_sequence = record.sequence
        try:
            content = content_of(run, run_key, record)
        except (Rejected, SignatureInvalid) as error:
            logger.warning("not-by-the-trainer", sequence=record.sequence, why=str(error))
            return
        if isinstance(content, PolicyAnnouncement):
            self.announce(content)
        else:
            self.apply(content.event)


def content_of(run: str, run_key: str, record: Record) -> PolicyAnnouncement | TrainerEntry:
    """What a record of POLICIES says.

    Raises:
        Rejected, SignatureInvalid: no trainer of this run can have written it.
    """
    if record.subject != policy_subject(run):
        return decode_own(record.data, TrainerEntry)
    announcement = decode_own(record.data, PolicyAnnouncement)
    verify_announcement(run_key, announcement)
    return announcement


async def read_history(broker: Broker, run: str, run_key: str) -> History:
    """POLICIES to its end, folded.

    Raises:
        BrokerError: there is no such log.
    """
    history = History()
    async for record in broker.read(policies_stream(run)):
        history.apply_record(run, run_key, record)
    return history
