"""The same request, asked again while it waits, is one request."""

import asyncio

from learner.coordinator.front import FrontDesk
from schemas import names
from schemas.lease import LeaseReply, LeaseRequest, WaitReason
from schemas.policy import PolicyId
from schemas.wire import decode, encode
from tests.support.coordinators import DrivenCoordinator, World, make_request


async def ask(front: FrontDesk, request: LeaseRequest) -> LeaseReply:
    subject = names.lease_subject(request.run, request.actor)
    return decode(await front.answer(subject, encode(request)), LeaseReply)


async def test_all_that_ask_the_same_get_the_same_leases():
    world = World()
    await world.open()
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    asking = []
    for request_id in ("r1", "r1", "r1"):
        asking.append(
            asyncio.create_task(ask(coordinator.front, make_request("ALICE", request_id)))
        )
        await asyncio.sleep(0.01)
    await world.announce(PolicyId(1, 0))
    await coordinator.known.catch_up()
    await coordinator.front.serve()
    replies = await asyncio.gather(*asking)
    assert [len(reply.leases) for reply in replies] == [1, 1, 1]
    assert len({reply.leases for reply in replies}) == 1


async def test_another_request_of_the_actor_takes_the_place_of_them_all():
    world = World()
    await world.open()
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    asking = []
    for request_id in ("r1", "r1", "r2"):
        asking.append(
            asyncio.create_task(ask(coordinator.front, make_request("ALICE", request_id)))
        )
        await asyncio.sleep(0.01)
    first, again = await asyncio.gather(*asking[:2])
    assert first == again == LeaseReply(waiting_for=WaitReason.DISPLACED)
    assert not asking[2].done()
    asking[2].cancel()
    await asyncio.gather(asking[2], return_exceptions=True)
