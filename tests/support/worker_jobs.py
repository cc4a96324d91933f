"""Messages for judging processes: an honest group, and the one that costs most."""

import msgspec

from environments.catalogue import open_environment
from learner.coordinator.draw import draw_lease
from learner.coordinator.job import WorkerJob, WorkerSetup, pack_leases
from schemas import wire
from schemas.names import RolloutsSubject
from schemas.policy import PolicyId
from schemas.rollout import MAX_SPANS, VersionSpan
from schemas.settings import IntakeSettings
from tests.support.coordinators import SETTINGS, make_opening, make_request, manifest_of
from tests.support.groups import make_group

POLICY = PolicyId(1, 4)
SUBJECT = RolloutsSubject("test", "s0", 1, 4, "ALICE")
ENVIRONMENT = open_environment(SETTINGS.environment)
LEASE = draw_lease(
    make_opening(), 7, make_request("ALICE", "r1"), PolicyId(1, 3), 0.0, ENVIRONMENT.stop_ids
)


def make_setup(**limits: int) -> WorkerSetup:
    intake = IntakeSettings(max_message_bytes=1 << 21, **limits)  # type: ignore[arg-type]
    return WorkerSetup(environment=ENVIRONMENT.ref, intake=intake)


def as_job(data: bytes, actor: str = "ALICE") -> WorkerJob:
    leases = pack_leases([LEASE]) if actor == LEASE.actor else {}
    return WorkerJob(subject=SUBJECT._replace(actor=actor), data=data, leases=leases)


async def honest_job() -> WorkerJob:
    group = await make_group(ENVIRONMENT, LEASE, POLICY, manifest_of(POLICY), right=(True, False))
    return as_job(wire.encode(group))


async def most_work(actor: str = "EVE") -> WorkerJob:
    """The most objects that the bounds let into one legal group: 256 rollouts of 128 spans."""
    group = await make_group(ENVIRONMENT, LEASE, POLICY, manifest_of(POLICY), right=(True, False))
    spans = (VersionSpan(num_tokens=1, policy=POLICY),) * MAX_SPANS
    rollout = msgspec.structs.replace(group.rollouts[0], spans=spans)
    group = msgspec.structs.replace(group, actor=actor, rollouts=(rollout,) * 256)
    return as_job(wire.encode(group), actor)
