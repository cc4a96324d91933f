"""Which words in POLICIES the coordinator believes."""

import asyncio

import msgspec
from structlog.testing import capture_logs

from broker.policies.signing import sign_announcement
from schemas import names
from schemas.policy import PolicyId
from schemas.wire import encode
from tests.support.coordinators import RUN_KEY, DrivenCoordinator, World, manifest_of


async def append(world: World, subject: str, data: bytes) -> None:
    stream = names.policies_stream("test")
    last = (await world.broker.state(stream)).last_sequence
    await world.broker.append(stream, subject, data, expected_last=last)


async def test_what_the_key_did_not_sign_announces_nothing_and_stops_nothing():
    world = World()
    await world.open()
    subject = names.policy_subject("test")
    for version in range(2):
        policy = PolicyId(1, version)
        honest = sign_announcement(
            RUN_KEY, run="test", policy=policy, manifest_sha256=manifest_of(policy), instance="t"
        )
        forged = msgspec.structs.replace(honest, policy=PolicyId(1, version + 10))
        await append(world, subject, b"not an announcement")
        await append(world, subject, encode(forged))
        await append(world, subject, encode(honest))
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    known = coordinator.known
    assert known.last is not None
    assert known.last.policy == PolicyId(1, 1)
    assert known.manifest(PolicyId(1, 0)) == manifest_of(PolicyId(1, 0))
    assert known.manifest(PolicyId(1, 10)) is None


async def test_an_announcement_that_is_put_there_again_takes_nothing_back():
    world = World()
    await world.open()
    for version in range(3):
        await world.announce(PolicyId(1, version))
    first = await world.broker.get(names.policies_stream("test"), 1)
    assert first is not None
    await append(world, first.subject, first.data)
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    assert coordinator.known.last is not None
    assert coordinator.known.last.policy == PolicyId(1, 2)


async def test_an_announcement_that_is_read_twice_is_taken_once():
    """Whoever judges a group does not wait for the one who follows, who then comes to it too."""
    world = World()
    await world.open()
    coordinator = DrivenCoordinator(world)
    await coordinator.start()
    known, rung = coordinator.known, coordinator.bell.listen()
    following = asyncio.create_task(known.follow())
    await asyncio.sleep(0)
    with capture_logs() as logs:
        for version in range(3):
            await world.announce(PolicyId(1, version))
        await known.catch_up()
        assert known.last is not None
        assert known.last.policy == PolicyId(1, 2)
        await world.announce(PolicyId(1, 3))
        while known.last.policy < PolicyId(1, 3):
            rung.clear()
            await rung.wait()
    following.cancel()
    assert logs == []
