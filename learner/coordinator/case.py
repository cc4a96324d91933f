"""One message on its way from the queue to its verdict."""

from msgspec import Struct

from broker.interface import Delivery
from learner.coordinator.finding import Finding
from learner.coordinator.verdicts import Refusal
from schemas.names import RolloutsSubject


class Case(Struct, frozen=True, kw_only=True):
    """A delivery with what its subject, and a worker, said about it."""

    delivery: Delivery
    sha256: str
    actor: str
    """From the subject; `unknown` when the subject is not that of a group."""
    subject: RolloutsSubject | None = None
    finding: Finding | None = None
    """None when no worker had to look at it."""
    refusal: Refusal | None = None
    """As of the moment when it was judged; decided again when the round is written."""

    @property
    def sequence(self) -> int:
        return self.delivery.record.sequence

    @property
    def hopeful(self) -> bool:
        """True when it may be accepted, so that its bytes belong in the archive."""
        return self.refusal is None and self.finding is not None
