"""The announced policies, as the coordinator knows them: a fold of `policy.<run>`.

Consumes announcements; rings the bell at each. What announces nothing (`broker.logbook`) is passed
over with a warning.
"""

import structlog

from broker import retry
from broker.interface import Broker, Record
from broker.logbook import PolicyReader, Unreadable
from learner.coordinator.bell import Bell
from schemas.names import policies_stream, policy_subject
from schemas.policy import PolicyAnnouncement, PolicyId

logger = structlog.get_logger()


class KnownPolicies:
    """Every announced policy with the digest of its manifest."""

    def __init__(self, broker: Broker, run: str, run_key: str, bell: Bell) -> None:
        self._broker = broker
        self._reader = PolicyReader(run, run_key)
        self._stream = policies_stream(run)
        self._subject = policy_subject(run)
        self._manifests: dict[PolicyId, str] = {}
        self._next_sequence = 1
        self._bell = bell

    @property
    def last(self) -> PolicyAnnouncement | None:
        """The last announcement; None before the first."""
        return self._reader.last

    def manifest(self, policy: PolicyId) -> str | None:
        """sha256 of the policy's manifest; None when it was never announced."""
        return self._manifests.get(policy)

    async def catch_up(self) -> None:
        """Read the announcements stored so far: a group may be faster than its announcement."""
        await retry.until_available()(self._read)

    async def _read(self) -> None:
        async for record in self._broker.read(self._stream, first=self._next_sequence):
            self._take(record)

    async def follow(self) -> None:
        """Take announcements as they come, for ever."""
        async for record in self._broker.follow(
            self._stream, first=self._next_sequence, subject=self._subject
        ):
            self._take(record)

    def _take(self, record: Record) -> None:
        if record.sequence < self._next_sequence:
            return
        self._next_sequence = record.sequence + 1
        match self._reader.read(record).content:
            case Unreadable(detail=detail):
                logger.warning("not-by-the-trainer", sequence=record.sequence, why=detail)
            case PolicyAnnouncement(policy=policy, manifest_sha256=sha256):
                self._manifests[policy] = sha256
                self._bell.ring()
            case _:
                pass
