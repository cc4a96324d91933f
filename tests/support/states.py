"""States of a coordinator, folded from events that a test makes up."""

from collections.abc import Sequence

from learner.coordinator.state import RunState
from schemas import ledger
from schemas.lease import Lease, Sampling
from schemas.policy import PolicyId
from schemas.settings import RunSettings
from schemas.verdict import Outcome, Reason
from schemas.wire import sha256_hex
from tests.support.coordinators import make_opening


class Folded:
    """A state with the events that led to it at hand."""

    def __init__(self, settings: RunSettings) -> None:
        self.opening = make_opening(settings)
        self.state = RunState()
        self.events: list[ledger.LedgerEvent] = []
        self._num_messages = 0
        self.add(self.opening)

    def add(self, *events: ledger.LedgerEvent) -> None:
        self.events += events
        entry = ledger.LedgerEntry(instance="c1", events=events)
        self.state.apply_entry(entry)

    def knows(self, *actors: str) -> None:
        """Treat these as if they had answered so much that they may hold all that one actor may."""
        for actor in actors:
            self.state.answered[actor] = self.opening.settings.leases.max_open_per_actor

    def issue(self, actor: str, *, request_id: str = "r1", deadline: float = 0.0) -> Lease:
        settings = self.opening.settings
        lease = Lease(
            lease_id=self.state.num_issued,
            run=settings.name,
            actor=actor,
            environment=self.opening.environment,
            task=1,
            group_size=settings.sampling.group_size,
            seed=1,
            sampling=Sampling(max_new_tokens=8, stop_ids=(1,)),
            renderer=self.opening.renderer,
            shard="s0",
            least_policy=PolicyId(1, 0),
            deadline=deadline,
        )
        self.add(ledger.LeaseIssued(lease=lease, request_id=request_id, instance=f"{actor}-1"))
        return lease

    def refuse(self, actor: str, *, deadline: float = 0.0) -> None:
        """Issue a lease and refuse the answer to it."""
        lease = self.issue(actor, deadline=deadline)
        self._num_messages += 1
        self.add(
            ledger.GroupRefused(
                stream="ROLLOUTS_test_s0",
                sequence=self._num_messages,
                sha256=sha256_hex(str(self._num_messages).encode()),
                actor=actor,
                lease_id=lease.lease_id,
                outcome=Outcome.REJECTED,
                reason=Reason.REWARD_MISMATCH,
                closes_lease=True,
            )
        )

    def accept(
        self,
        actor: str,
        *,
        version: int = 0,
        rewards: Sequence[float] = (1.0, 0.0),
        deadline: float = 0.0,
    ) -> int:
        """Issue a lease and accept a group for it; returns the lease's id."""
        lease = self.issue(actor, deadline=deadline)
        self._num_messages += 1
        self.add(
            ledger.GroupAccepted(
                stream="ROLLOUTS_test_s0",
                sequence=self._num_messages,
                sha256=sha256_hex(str(self._num_messages).encode()),
                lease_id=lease.lease_id,
                actor=actor,
                policy=PolicyId(1, version),
                segment=f"1-{sha256_hex(b'segment')}",
                offset=0,
                length=1,
                rewards=tuple(rewards),
                parts=(),
                num_tokens=(4,) * len(rewards),
            )
        )
        return lease.lease_id
