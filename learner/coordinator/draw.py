"""What a lease asks for, as a pure function of the run's seed and the lease's number."""

import hashlib

from schemas import ledger
from schemas.lease import Lease, LeaseRequest, Sampling
from schemas.policy import PolicyId
from schemas.shard import shard_of

_TASK_BITS = 53
_SEED_BITS = 63


def draw_lease(
    opened: ledger.RunOpened,
    lease_id: int,
    request: LeaseRequest,
    least_policy: PolicyId,
    deadline: float,
    stop_ids: tuple[int, ...],
) -> Lease:
    """The lease with this number, for the actor that asked."""
    settings = opened.settings
    return Lease(
        lease_id=lease_id,
        run=settings.name,
        actor=request.actor,
        environment=opened.environment,
        task=_draw(settings.seed, "task", lease_id, _TASK_BITS),
        group_size=settings.sampling.group_size,
        seed=_draw(settings.seed, "seed", lease_id, _SEED_BITS),
        sampling=Sampling(max_new_tokens=settings.sampling.max_new_tokens, stop_ids=stop_ids),
        renderer=opened.renderer,
        shard=shard_of(request.actor, settings.intake.shards),
        least_policy=least_policy,
        deadline=deadline,
    )


def _draw(seed: int, what: str, index: int, bits: int) -> int:
    digest = hashlib.sha256(f"{seed} {what} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)
