"""What the trainer's log says: a fold of POLICIES, and nothing else.

Two trainers that have folded the same log know the same incarnations and the same announced
policies. Every entry has an identity of its own, so applying it twice changes nothing the second
time.
"""

import msgspec

from broker.interface import Broker
from broker.logbook import PolicyContent, Unreadable, read_policies
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.trainer_events import (
    IncarnationStarted,
    PoliciesRestored,
    StepSkipped,
    TrainerEntry,
    TrainerStarted,
)


class History(msgspec.Struct, kw_only=True):
    """Incarnations and announced policies, in the order of the log."""

    incarnations: dict[int, IncarnationStarted] = {}
    announced: dict[PolicyId, PolicyAnnouncement] = {}
    skipped: set[PolicyId] = set()
    """The policies that equal the one before them, because the update was not finite."""
    ended: int = 0
    """The last incarnation that a restore of the run has ended: none goes on in it."""

    @property
    def current(self) -> IncarnationStarted | None:
        """The incarnation that policies are made in; None before the first."""
        return self.incarnations[max(self.incarnations)] if self.incarnations else None

    @property
    def last(self) -> PolicyId | None:
        """The last policy announced; None before the first."""
        return max(self.announced, default=None)

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

    def apply(self, content: PolicyContent) -> None:
        """Fold what one record says."""
        match content:
            case PolicyAnnouncement(policy=policy):
                self.announced.setdefault(policy, content)
            case TrainerEntry(event=IncarnationStarted(incarnation=incarnation) as event):
                self.incarnations.setdefault(incarnation, event)
            case TrainerEntry(event=StepSkipped(incarnation=incarnation, step=step)):
                self.skipped.add(PolicyId(incarnation, step))
            case TrainerEntry(event=PoliciesRestored()):
                self.ended = max(self.incarnations, default=0)
            case TrainerEntry(event=TrainerStarted()) | Unreadable():
                pass


async def read_history(broker: Broker, run: str, run_key: str) -> History:
    """POLICIES to its end, folded.

    Raises:
        BrokerError: there is no such log.
    """
    history = History()
    async for item in read_policies(broker, run, run_key):
        history.apply(item.content)
    return history
