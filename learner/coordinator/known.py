"""The announced policies, as the coordinator knows them: a fold of `policy.<run>`.

Consumes announcements; rings the bell at each. What the run's key did not sign announces nothing:
the log keeps it for ever, so it is passed over with a warning.
"""

import structlog

from broker.interface import Broker
from broker.policies.signing import verify_announcement
from learner.coordinator.bell import Bell
from schemas.errors import Rejected, SignatureInvalid
from schemas.names import policies_stream, policy_subject
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.wire import decode

logger = structlog.get_logger()


class KnownPolicies:
    """Every announced policy with the digest of its manifest."""

    def __init__(self, broker: Broker, run: str, run_key: str, bell: Bell) -> None:
        self._broker = broker
        self._run_key = run_key
        self._stream = policies_stream(run)
        self._subject = policy_subject(run)
        self._manifests: dict[PolicyId, str] = {}
        self._next_sequence = 1
        self.last: PolicyAnnouncement | None = None
        self._bell = bell

    def manifest(self, policy: PolicyId) -> str | None:
        """sha256 of the policy's manifest; None when it was never announced."""
        return self._manifests.get(policy)

    async def catch_up(self) -> None:
        """Read the announcements stored so far: a group may be faster than its announcement."""
        async for record in self._broker.read(self._stream, first=self._next_sequence):
            self._take(record.sequence, record.subject, record.data)

    async def follow(self) -> None:
        """Take announcements as they come, for ever."""
        async for record in self._broker.follow(
            self._stream, first=self._next_sequence, subject=self._subject
        ):
            self._take(record.sequence, record.subject, record.data)

    def _take(self, sequence: int, subject: str, data: bytes) -> None:
        if sequence < self._next_sequence:
            return
        self._next_sequence = sequence + 1
        if subject != self._subject:
            return
        try:
            announcement = decode(data, PolicyAnnouncement)
            verify_announcement(self._run_key, announcement)
        except (Rejected, SignatureInvalid) as error:
            logger.warning("not-an-announcement", sequence=sequence, why=str(error))
            return
        if self.last and announcement.policy <= self.last.policy:
            # Signed once, and put there again by somebody: a trainer's announcements only rise.
            logger.warning("announced-before", sequence=sequence, policy=str(announcement.policy))
            return
        self._manifests[announcement.policy] = announcement.manifest_sha256
        self.last = announcement
        self._bell.ring()
