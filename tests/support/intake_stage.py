"""A run whose queue a test fills, with a coordinator whose judging it may replace."""

from collections.abc import Sequence

from learner.coordinator.judging import Workers
from schemas import names
from schemas.lease import Lease
from schemas.policy import PolicyId
from schemas.rollout import RolloutGroup
from schemas.wire import encode
from tests.support.coordinators import DrivenCoordinator, World, make_request, manifest_of
from tests.support.groups import make_group

POLICY = PolicyId(1, 0)
RIGHT = (True, False)


class Stage:
    """One policy is announced, and nothing is leased."""

    async def open(self) -> None:
        self.world = World()
        await self.world.open()
        await self.world.announce(POLICY)
        self.coordinator = DrivenCoordinator(self.world)
        await self.coordinator.start()
        self.intake, self.state = self.coordinator.intake, self.coordinator.log.state
        self.num_requests = 0

    async def group(self, actor: str = "ALICE", right: Sequence[bool] = RIGHT) -> RolloutGroup:
        self.num_requests += 1
        request = make_request(actor, f"r{self.num_requests}")
        (lease,) = (await self.coordinator.lease(request)).leases
        return await self.answer(lease, right)

    async def answer(self, lease: Lease, right: Sequence[bool]) -> RolloutGroup:
        return await make_group(
            self.world.environment, lease, POLICY, manifest_of(POLICY), right=right
        )

    async def send(self, group: RolloutGroup) -> bytes:
        data = encode(group)
        subject = names.rollouts_subject("test", "s0", group.policy, group.actor)
        await self.world.broker.publish(subject, data)
        return data

    async def noise(self, actor: str, count: int, *, begin: int = 0) -> None:
        for index in range(begin, begin + count):
            subject = names.rollouts_subject("test", "s0", POLICY, actor)
            await self.world.broker.publish(subject, f"{actor} {index}".encode())

    async def num_queued(self) -> int:
        return (await self.world.broker.state("ROLLOUTS_test_s0")).num_messages

    def judge_by(self, workers: Workers) -> None:
        self.intake.judging._workers = workers
