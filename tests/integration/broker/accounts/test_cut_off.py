"""A flooder beside honest work, with a real coordinator: he is cut off, all that he sent is
counted, and nobody else loses anything. Everybody has his own rights and no more.

    pytest -s tests/integration/broker/accounts/test_cut_off.py    prints the counts
"""

import asyncio
import contextlib
from functools import partial

import pytest

from broker.accounts.resolver import push_account
from broker.accounts.rights import Role
from broker.audit import audit_run
from broker.gate.guard import Guard
from broker.gate.meter import FloodLimits, Meter
from broker.gate.purging import purge_contributor
from broker.gate.traffic import TrafficReader
from broker.jetstream import NatsBroker
from broker.memory import MemoryStore
from broker.publisher import Publisher
from broker.streams import run_streams
from environments.catalogue import open_environment
from learner.coordinator.service import Coordinator
from schemas import names, wire
from schemas.lease import LeaseReply
from schemas.policy import PolicyId
from schemas.settings import (
    BatchSettings,
    IntakeSettings,
    LeaseSettings,
    RunSettings,
    SamplingSettings,
)
from schemas.shard import shard_of
from schemas.verdict import Outcome, Verdict
from tests.integration.broker.accounts.test_flood import enter, flooder
from tests.support.coordinators import announce, make_opening, make_request, manifest_of
from tests.support.groups import make_group
from tests.support.guarded import RUN, SHARDS, Guarded, actor_of

pytestmark = [pytest.mark.integration, pytest.mark.alone]

SETTINGS = RunSettings(
    name=RUN,
    sampling=SamplingSettings(group_size=2, max_new_tokens=16),
    leases=LeaseSettings(max_staleness=2, hold_s=0.3, max_open_per_actor=8),
    batch=BatchSettings(num_groups=64),
    intake=IntakeSettings(shards=SHARDS, max_message_bytes=1 << 18),
)
POLICY = PolicyId(1, 0)


class Honest:
    """An actor that asks for leases and answers them, over its own account."""

    def __init__(self, broker, actor):
        self._broker, self._actor = broker, actor
        self._publisher = Publisher(broker)
        self._environment = open_environment(SETTINGS.environment)
        self._number = 0
        self.verdicts = []

    async def work(self, times):
        """Answer so many leases, one behind the other, and hear the verdict on each."""
        heard = self._broker.listen(names.verdict_subject(RUN, self._actor))
        for _ in range(times):
            hearing = asyncio.ensure_future(anext(heard))
            [lease] = (await self._ask()).leases
            group = await make_group(
                self._environment, lease, POLICY, manifest_of(POLICY), right=(True, False)
            )
            subject = names.rollouts_subject(RUN, lease.shard, POLICY, self._actor)
            # As an actor does: an answer may come late while the queue is flooded.
            await self._publisher.publish(subject, wire.encode(group))
            async with asyncio.timeout(20):
                self.verdicts.append(wire.decode((await hearing)[1], Verdict))
        await heard.aclose()

    async def _ask(self):
        self._number += 1
        request = make_request(self._actor, f"r{self._number}", run=RUN)
        subject = names.lease_subject(RUN, self._actor)
        data = await self._broker.request(subject, wire.encode(request), timeout_s=20)
        return wire.decode(data, LeaseReply)


async def contributor(guarded, name):
    """Credentials of somebody whose queue is the one that his id says, on the operator's list."""
    while True:
        credentials = await guarded.contributor()
        shard = shard_of(actor_of(credentials), SHARDS)
        if shard == "s0":
            break
    enter(guarded, credentials, name, shard)
    return credentials


@pytest.fixture
async def guarded(tmp_path):
    server = Guarded(tmp_path)
    admin = await server.login(Role.ADMIN)
    for spec in run_streams(SETTINGS):
        await admin.ensure_stream(spec)
    await admin.close()
    yield server
    server.stop()


@pytest.mark.timeout(120)
async def test_a_flooder_is_cut_off_and_everything_he_sent_is_counted(guarded):
    bob, mallory = await contributor(guarded, "bob"), await contributor(guarded, "mallory")
    store, stop = MemoryStore(), asyncio.Event()
    async with guarded.system() as system:
        coordinating = await guarded.login(Role.COORDINATOR)
        coordinator = Coordinator(coordinating, store, make_opening(SETTINGS))
        running = asyncio.create_task(coordinator.run(stop, take_over=False))
        await coordinator.ready.wait()
        trainer = await guarded.login(Role.TRAINER)
        await announce(trainer, RUN, POLICY, 0)

        traffic = TrafficReader(system)
        await traffic.begin()
        gate = await guarded.login(Role.GATE)
        guard = Guard(
            run=RUN,
            keyring=guarded.keyring,
            roster=guarded.roster,
            push_account=partial(push_account, system),
            traffic=traffic,
            meter=Meter(FloodLimits()),
            purge=partial(purge_contributor, gate),
        )
        watching = [asyncio.create_task(loop()) for loop in (guard.watch, guard.clean_up)]
        broker = await NatsBroker.connect(guarded.url, name="bob", credentials=bob)
        honest = Honest(broker, actor_of(bob))
        await honest.work(3)
        process = await flooder(guarded, mallory, "s0")
        await honest.work(20)
        async with asyncio.timeout(30):
            await purged(guarded, "mallory")
        await settled(guarded, actor_of(mallory))
        await honest.work(3)
        with contextlib.suppress(ProcessLookupError):  # he may have seen that he is out
            process.kill()
        await process.wait()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        stop.set()
        await running
        for connection in (broker, trainer, gate, coordinating):
            await connection.close()

    assert [one.outcome for one in honest.verdicts] == [Outcome.ACCEPTED] * 26
    observer = await guarded.login(Role.OBSERVER)
    report = await audit_run(observer, RUN, store=store)
    await observer.close()
    for equation in report.equations:
        print(equation)
    assert report.holds, report


async def purged(guarded, name):
    """Wait until somebody was thrown out, and the coordinator has purged what he left."""
    while True:
        one = guarded.roster.find(name)
        if one.revoked and not one.to_purge:
            return
        await asyncio.sleep(0.05)


async def settled(guarded, actor):
    """Wait until the queue holds nothing of an actor, and nothing more of it comes."""
    observer = await guarded.login(Role.ADMIN)
    stream = names.rollouts_stream(RUN, "s0")
    async with asyncio.timeout(60):
        quiet = 0
        while quiet < 5:
            left = await observer.subjects(stream, names.rollouts_of_actor_filter(RUN, "s0", actor))
            quiet = 0 if sum(left.values()) else quiet + 1
            await asyncio.sleep(0.1)
    await observer.close()
