"""Of all that is wrong with a message, the first in the order of `Reason` is said."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard

from learner.coordinator import verdicts
from schemas import ledger, names
from schemas.arrays import pack_u32, unpack_u32
from schemas.lease import Lease
from schemas.policy import PolicyId
from schemas.rollout import RolloutGroup
from schemas.verdict import Outcome, Reason
from schemas.wire import MAGIC, MAX_DECODED_BYTES, encode
from tests.support.coordinators import SETTINGS, DrivenCoordinator, World, make_request, manifest_of
from tests.support.groups import make_group

STEPS_CUT = SETTINGS.leases.max_staleness + 1
OLD, POLICY = PolicyId(1, 1), PolicyId(2, 1)
"""Both announced and fresh enough; leases ask for the later one."""
STALE, UNKNOWN = PolicyId(2, 0), PolicyId(2, 9)


class Message:
    """An answer of ALICE to her lease, with faults to be put into it."""

    def __init__(self, group: RolloutGroup, leases: dict[str, Lease]) -> None:
        self.group = group
        self.leases = leases
        self.policy = group.policy
        """That its subject says."""
        self.subject = ""
        self.spoil: Callable[[bytes], bytes] = bytes
        self.is_cut_off = False
        """Its sender, when it comes."""

    def change(self, **changes: Any) -> None:
        self.group = msgspec.structs.replace(self.group, **changes)

    def change_rollout(self, **changes: Any) -> None:
        first, *others = self.group.rollouts
        self.change(rollouts=(msgspec.structs.replace(first, **changes), *others))

    def answer(self, which: str) -> None:
        self.change(lease_id=self.leases[which].lease_id)

    def make_with(self, policy: PolicyId) -> None:
        self.policy = policy
        rollouts = []
        for rollout in self.group.rollouts:
            span = msgspec.structs.replace(rollout.spans[0], policy=policy)
            rollouts.append(msgspec.structs.replace(rollout, spans=(span,)))
        self.change(policy=policy, manifest_sha256=manifest_of(policy), rollouts=tuple(rollouts))

    def render_otherwise(self) -> None:
        ids = list(unpack_u32(self.group.rollouts[0].token_ids))
        self.change_rollout(token_ids=pack_u32([ids[0], ids[1] + 1, *ids[2:]]))


def noise(_: bytes) -> bytes:
    return b"noise"


def another_message(_: bytes) -> bytes:
    return encode(make_request("ALICE", "r9"))


def too_long(data: bytes) -> bytes:
    prefix = data[: len(MAGIC) + 1]
    return prefix + zstandard.compress(bytes(MAX_DECODED_BYTES + 1))


FAULTS: list[tuple[str, Callable[[Message], object]]] = [
    (Reason.SUBJECT, lambda it: setattr(it, "subject", "rollouts.test.s0.one.ALICE")),
    (Reason.CUT_OFF, lambda it: setattr(it, "is_cut_off", True)),
    (Outcome.STALE, lambda it: it.make_with(STALE)),
    (Reason.POLICY_UNKNOWN, lambda it: it.make_with(UNKNOWN)),
    (Reason.OVERSIZE, lambda it: setattr(it, "spoil", too_long)),
    (Reason.ENVELOPE, lambda it: setattr(it, "spoil", noise)),
    (Reason.SCHEMA, lambda it: setattr(it, "spoil", another_message)),
    (Reason.MISMATCH, lambda it: it.change(run="other")),
    (Reason.POLICY_UNKNOWN, lambda it: it.change(manifest_sha256="0" * 64)),
    (Reason.LEASE_UNKNOWN, lambda it: it.change(lease_id=999)),
    (Reason.LEASE_FOREIGN, lambda it: it.answer("of another actor")),
    (Outcome.LATE, lambda it: it.answer("expired")),
    (Outcome.DUPLICATE, lambda it: it.answer("fulfilled")),
    (Reason.LEASE_TERMS, lambda it: it.change(rollouts=it.group.rollouts * 2)),
    (Reason.POLICY_OLD, lambda it: it.make_with(OLD)),
    (Reason.TOKENS, lambda it: it.change_rollout(logprobs=it.group.rollouts[0].logprobs[:-4])),
    (Reason.RENDERING, Message.render_otherwise),
    (Reason.REWARD_MISMATCH, lambda it: it.change_rollout(claimed_reward=0.5)),
]
"""What is said, and a fault for which it is; in the order in which they are looked for."""


class Scene:
    """A coordinator with a lease of each kind."""

    async def open(self) -> None:
        self.world = World()
        await self.world.open()
        for policy in (PolicyId(1, 0), OLD, POLICY):
            await self.world.announce(policy)
        self.coordinator = DrivenCoordinator(self.world)
        await self.coordinator.start()
        self.state = self.coordinator.log.state
        leases = {"of another actor": await self.lease("BOB"), "expired": await self.lease("ALICE")}
        expired = [ledger.LeaseExpired(lease_id=lease.lease_id) for lease in leases.values()]
        await self.coordinator.log.append(expired)
        leases["fulfilled"] = await self.lease("ALICE")
        await self.send(Message(await self.group(leases["fulfilled"]), leases))
        self.state.last_step = STEPS_CUT
        open_lease = await self.lease("ALICE")
        self.message = Message(await self.group(open_lease), leases)

    async def lease(self, actor: str) -> Lease:
        request = make_request(actor, f"r{self.state.num_issued}")
        return (await self.coordinator.lease(request)).leases[0]

    async def group(self, lease: Lease) -> RolloutGroup:
        return await make_group(
            self.world.environment, lease, POLICY, manifest_of(POLICY), right=(True, False)
        )

    async def send(self, message: Message) -> None:
        subject = names.rollouts_subject("test", "s0", message.policy, "ALICE")
        data = message.spoil(encode(message.group))
        await self.world.broker.publish(message.subject or subject, data)
        if message.is_cut_off:
            await self.coordinator.log.append([ledger.ActorCutOff(actor="ALICE", change=0)])
        await self.coordinator.round()


@pytest.fixture
async def scene():
    scene = Scene()
    await scene.open()
    assert scene.state.num_judged.pop(Outcome.ACCEPTED) == 1
    return scene


async def test_without_a_fault_it_is_accepted(scene):
    await scene.send(scene.message)
    assert scene.state.num_judged == {Outcome.ACCEPTED: 1}


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=lambda index: f"{FAULTS[index][0]}")
async def test_of_a_fault_and_all_that_are_looked_for_later_the_first_is_said(scene, first):
    said, _ = FAULTS[first]
    for _, put_into in reversed(FAULTS[first:]):
        put_into(scene.message)
    await scene.send(scene.message)
    assert scene.state.num_judged == {said: 1}


@pytest.mark.parametrize("which", range(len(FAULTS)), ids=lambda index: f"{FAULTS[index][0]}")
async def test_each_fault_is_one_by_itself(scene, which):
    said, put_into = FAULTS[which]
    put_into(scene.message)
    await scene.send(scene.message)
    assert scene.state.num_judged == {said: 1}


def test_the_order_is_that_of_the_reasons():
    by_subject = FAULTS.index(next(one for one in FAULTS if one[0] is Reason.POLICY_UNKNOWN))
    said = [one for index, (one, _) in enumerate(FAULTS) if index != by_subject]
    not_looked_for = (Reason.NONE, Reason.MEMORY, Reason.CPU, Reason.JUDGING_FAILED)
    assert [one for one in said if isinstance(one, Reason)] == [
        reason for reason in Reason if reason not in not_looked_for
    ]


def test_the_order_is_that_of_the_table():
    rows = [line.split(" | ") for line in (verdicts.__doc__ or "").splitlines()]
    cells = [cells[-1].removesuffix(" |") for cells in rows if len(cells) == 3][1:]
    assert ", ".join(cells).split(", ") == [said for said, _ in FAULTS]
