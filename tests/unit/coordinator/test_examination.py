"""Every lie a group can tell is refused with its reason, and an honest one is not."""

import msgspec
import pytest

from environments.catalogue import BUILDERS, open_environment
from learner.coordinator.draw import draw_lease
from learner.coordinator.job import WorkerJob, pack_leases
from learner.coordinator.worker import examine
from schemas.arrays import pack_f32, pack_u32, unpack_u32
from schemas.names import RolloutsSubject
from schemas.policy import PolicyId
from schemas.rollout import VersionSpan
from schemas.settings import EnvironmentSettings
from schemas.verdict import Reason
from schemas.wire import encode
from tests.support.coordinators import SETTINGS, make_opening, make_request, manifest_of
from tests.support.groups import make_group

POLICY = PolicyId(1, 4)
SUBJECT = RolloutsSubject("test", "s0", 1, 4, "ALICE")


@pytest.fixture(params=BUILDERS)
async def honest(request):
    """(environment, lease, group) of one right and one wrong answer."""
    settings = msgspec.structs.replace(
        SETTINGS, environment=EnvironmentSettings(id=request.param, largest=4)
    )
    environment = open_environment(settings.environment)
    lease = draw_lease(
        make_opening(settings),
        7,
        make_request("ALICE", "r1"),
        PolicyId(1, 3),
        0.0,
        environment.stop_ids,
    )
    group = await make_group(environment, lease, POLICY, manifest_of(POLICY), right=(True, False))
    return environment, lease, group


async def examined(environment, lease, data, subject=SUBJECT):
    job = WorkerJob(subject=subject, data=data, leases=pack_leases([lease]))
    return await examine(job, environment, max_wire_bytes=1 << 20)


async def test_an_honest_group_gets_its_rewards(honest):
    environment, lease, group = honest
    finding = await examined(environment, lease, encode(group))
    assert finding.reason is Reason.NONE
    assert finding.lease_is_open
    assert finding.rewards == (1.0, 0.0)
    assert {part.name for part in finding.parts} == {"exact", "partial"}
    assert finding.num_tokens == tuple(len(r.loss_mask) for r in group.rollouts)
    assert finding.claim is not None
    assert finding.claim.policy == POLICY


def first(group, **changes):
    """The group with its first rollout changed."""
    one = msgspec.structs.replace(group.rollouts[0], **changes)
    return msgspec.structs.replace(group, rollouts=(one, *group.rollouts[1:]))


def tokens(group, position, token_id):
    ids = list(unpack_u32(group.rollouts[0].token_ids))
    ids[position] = token_id
    return first(group, token_ids=pack_u32(ids))


def spans(group, *policies):
    num_sampled = len(group.rollouts[0].logprobs) // 4
    counts = [1] * (len(policies) - 1) + [num_sampled - len(policies) + 1]
    pairs = zip(counts, policies, strict=True)
    return first(group, spans=tuple(VersionSpan(num_tokens=n, policy=p) for n, p in pairs))


LIES = {
    Reason.MISMATCH: [
        lambda group: msgspec.structs.replace(group, run="other"),
        lambda group: msgspec.structs.replace(group, actor="BOB"),
        lambda group: msgspec.structs.replace(group, policy=PolicyId(1, 5)),
        lambda group: msgspec.structs.replace(group, policy=PolicyId(2, 4)),
        lambda group: spans(group, PolicyId(1, 3), POLICY),
        lambda group: spans(group, PolicyId(2, 3), POLICY),
    ],
    Reason.LEASE_TERMS: [
        lambda group: msgspec.structs.replace(group, rollouts=group.rollouts[:1]),
        lambda group: msgspec.structs.replace(group, rollouts=group.rollouts * 2),
    ],
    Reason.TOKENS: [
        lambda group: tokens(group, -1, 5),
        lambda group: tokens(group, 0, 10_000),
        lambda group: first(group, logprobs=group.rollouts[0].logprobs[:-4]),
        lambda group: first(
            group, logprobs=pack_f32([float("nan")] * (len(group.rollouts[0].logprobs) // 4))
        ),
    ],
    Reason.RENDERING: [
        lambda group: tokens(group, 1, 7),
        lambda group: first(
            group,
            token_ids=group.rollouts[0].token_ids + pack_u32([5]),
            loss_mask=group.rollouts[0].loss_mask + b"\0",
        ),
    ],
    Reason.REWARD_MISMATCH: [
        lambda group: first(group, claimed_reward=0.0),
        lambda group: first(group, claimed_reward=1.5),
    ],
}
CASES = [(reason, index) for reason, lies in LIES.items() for index in range(len(lies))]


@pytest.mark.parametrize(("reason", "index"), CASES, ids=lambda value: str(value))
async def test_a_lie_is_refused(honest, reason, index):
    environment, lease, group = honest
    finding = await examined(environment, lease, encode(LIES[reason][index](group)))
    assert finding.reason is reason, finding


@pytest.mark.parametrize("least", [PolicyId(1, 5), PolicyId(2, 1), PolicyId(0, 5)], ids=str)
async def test_an_older_policy_than_the_lease_asks_for_is_refused(honest, least):
    environment, lease, group = honest
    newer = msgspec.structs.replace(lease, least_policy=least)
    assert (await examined(environment, newer, encode(group))).reason is Reason.POLICY_OLD


async def test_every_span_is_held_against_the_lease(honest):
    environment, lease, group = honest
    newer = msgspec.structs.replace(lease, least_policy=PolicyId(2, 4))
    policies = (PolicyId(2, 4), PolicyId(1, 5))
    mixed = msgspec.structs.replace(
        group,
        policy=policies[0],
        rollouts=tuple(
            msgspec.structs.replace(
                rollout,
                spans=(VersionSpan(num_tokens=len(rollout.logprobs) // 4, policy=policy),),
            )
            for rollout, policy in zip(group.rollouts, policies, strict=True)
        ),
    )
    subject = SUBJECT._replace(incarnation=2)
    finding = await examined(environment, newer, encode(mixed), subject)
    assert finding.reason is Reason.POLICY_OLD, finding


async def test_without_its_lease_only_the_claim_is_read(honest):
    environment, lease, group = honest
    job = WorkerJob(subject=SUBJECT, data=encode(group), leases={})
    finding = await examine(job, environment, max_wire_bytes=1 << 20)
    assert not finding.lease_is_open
    assert finding.claim is not None
    assert finding.claim.lease_id == lease.lease_id
    assert finding.rewards == ()


async def test_another_shard_than_the_lease_is_refused(honest):
    environment, lease, group = honest
    subject = SUBJECT._replace(shard="s1")
    finding = await examined(environment, lease, encode(group), subject)
    assert finding.reason is Reason.LEASE_TERMS


async def test_a_reward_mismatch_still_tells_the_true_rewards(honest):
    environment, lease, group = honest
    liar = msgspec.structs.replace(
        group,
        rollouts=tuple(
            msgspec.structs.replace(rollout, claimed_reward=1.0) for rollout in group.rollouts
        ),
    )
    finding = await examined(environment, lease, encode(liar))
    assert finding.reason is Reason.REWARD_MISMATCH
    assert finding.rewards == (1.0, 0.0)
