"""Each role on a real server: what it is for works, and what another one is for does not."""

import asyncio

import pytest

from broker.accounts.rights import Role
from broker.jetstream import NatsBroker
from schemas import names
from schemas.errors import BrokerError, PermissionDenied, ServerMissing
from tests.support.guarded import RUN, SHARDS, actor_of

pytestmark = pytest.mark.integration

QUEUE = names.rollouts_stream(RUN, "s0")
LOG, POLICIES = names.log_stream(RUN), names.policies_stream(RUN)


@pytest.fixture
async def contributor(guarded):
    credentials = await guarded.contributor()
    broker = await NatsBroker.connect(guarded.url, name="alice", credentials=credentials)
    yield broker, actor_of(credentials)
    await broker.close()


@pytest.fixture
async def coordinator(guarded):
    broker = await guarded.login(Role.COORDINATOR)
    yield broker
    await broker.close()


@pytest.fixture
async def trainer(guarded):
    broker = await guarded.login(Role.TRAINER)
    yield broker
    await broker.close()


async def append(broker, stream, subject):
    """Write behind whatever is there."""
    last = (await broker.state(stream)).last_sequence
    return await broker.append(stream, subject, b"entry", expected_last=last, timeout_s=2)


async def test_a_contributor_gets_work_and_sends_it_back(contributor, coordinator):
    alice, actor = contributor

    async def answer(subject, data):
        return subject.encode()

    await coordinator.serve(names.leases_filter(RUN), answer)
    await coordinator.serve(names.grants_filter(RUN), answer)
    for subject in (names.lease_subject(RUN, actor), names.grant_subject(RUN, actor)):
        assert await alice.request(subject, b"", timeout_s=2) == subject.encode()

    heard = coordinator.listen(names.heartbeats_filter(RUN))
    listening = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.1)
    await alice.notify(names.heartbeat_subject(RUN, actor), b"alive")
    assert await listening == (names.heartbeat_subject(RUN, actor), b"alive")

    verdicts = alice.listen(names.verdict_subject(RUN, actor))
    listening = asyncio.ensure_future(anext(verdicts))
    stored = await alice.publish(names.rollouts_subject(RUN, "s0", (1, 0), actor), b"group")
    assert stored.stream == QUEUE
    taken = await coordinator.pull(
        QUEUE, names.intake_consumer("s0"), max_messages=9, max_bytes=1 << 20, timeout_s=2
    )
    assert taken[-1].record.data == b"group"
    for delivery in taken:
        await delivery.ack()
    await coordinator.notify(names.verdict_subject(RUN, actor), b"accepted")
    assert (await listening)[1] == b"accepted"


async def test_only_the_coordinator_writes_the_log(guarded, coordinator, trainer, contributor):
    assert await append(coordinator, LOG, names.ledger_subject(RUN))
    assert await append(coordinator, LOG, names.batch_subject(RUN, 1))
    for role in (Role.OBSERVER, Role.GATE):
        other = await guarded.login(role)
        with pytest.raises(PermissionDenied):
            await other.request(names.ledger_subject(RUN), b"", timeout_s=2)
        await other.close()
    for other in (trainer, contributor[0]):
        with pytest.raises(PermissionDenied):
            await other.request(names.ledger_subject(RUN), b"", timeout_s=2)
        with pytest.raises(PermissionDenied):
            await other.request(names.batch_subject(RUN, 2), b"", timeout_s=2)


async def test_only_the_trainer_writes_policies(guarded, coordinator, trainer, contributor):
    assert await append(trainer, POLICIES, names.policy_subject(RUN))
    assert await append(trainer, POLICIES, names.trainer_subject(RUN))
    observer = await guarded.login(Role.OBSERVER)
    for other in (coordinator, observer, contributor[0]):
        for subject in (names.policy_subject(RUN), names.trainer_subject(RUN)):
            with pytest.raises(PermissionDenied):
                await other.request(subject, b"", timeout_s=2)
    await observer.close()


async def test_an_announcement_reaches_contributors(trainer, contributor):
    heard = contributor[0].listen(names.policy_subject(RUN))
    listening = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.1)
    await append(trainer, POLICIES, names.policy_subject(RUN))
    assert await listening == (names.policy_subject(RUN), b"entry")


async def test_the_learner_follows_both_logs(coordinator, trainer):
    await append(coordinator, LOG, names.ledger_subject(RUN))
    for broker in (coordinator, trainer):
        for stream in (LOG, POLICIES):
            state = await broker.state(stream)
            record = await anext(broker.follow(stream, first=state.first_sequence))
            assert record.sequence == state.first_sequence
            assert await broker.get(stream, state.last_sequence)


async def test_an_observer_reads_and_takes_nothing(guarded, coordinator):
    observer = await guarded.login(Role.OBSERVER)
    assert QUEUE in await observer.streams()
    assert (await observer.state(QUEUE)).name == QUEUE
    with pytest.raises(BrokerError):
        await observer.pull(
            QUEUE, names.intake_consumer("s0"), max_messages=1, max_bytes=1 << 20, timeout_s=0.2
        )
    with pytest.raises(PermissionDenied):
        await observer.purge(QUEUE, before=10**6)
    await observer.close()


async def test_the_trainer_takes_nothing_from_a_queue(trainer):
    for shard in SHARDS:
        with pytest.raises(PermissionDenied):
            await trainer.state(names.rollouts_stream(RUN, shard))


async def test_a_role_of_one_run_is_nobody_in_another(coordinator, trainer):
    for subject in (names.ledger_subject("other"), names.batch_subject("other", 1)):
        with pytest.raises(PermissionDenied):
            await coordinator.request(subject, b"", timeout_s=2)
    with pytest.raises(PermissionDenied):
        await trainer.request(names.policy_subject("other"), b"", timeout_s=2)


async def test_nobody_comes_in_without_credentials(guarded):
    with pytest.raises(ServerMissing, match=r"[Aa]uthorization"):
        await NatsBroker.connect(guarded.url, name="nobody")
