"""One contributor floods; he is cut within a second, and an honest one beside him works on.

pytest -s tests/integration/broker/accounts/test_flood.py    prints the latencies
"""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from functools import partial

import pytest

from broker.accounts.resolver import push_account
from broker.accounts.rights import Role
from broker.accounts.roster import Contributor
from broker.accounts.tier import Tier
from broker.gate.guard import LOOK_EVERY_S, Guard
from broker.gate.meter import FloodLimits, Meter
from broker.gate.traffic import TrafficReader
from broker.jetstream import NatsBroker
from schemas import names
from tests.support.guarded import RUN, actor_of

pytestmark = [pytest.mark.integration, pytest.mark.alone]

QUIET_S, FLOOD_S = 1.5, 1.0
PATIENCE_S = 20.0
"""In the same queue, what the server has taken of the flood is stored first, with a sync for each
message: 16,000 took 4 s. (An actor's publisher sends again after 5 s, and the first one counts.)"""
FLOODER = """
import asyncio, itertools, sys
import nats

async def main(url, credentials, before, behind):
    client = await nats.connect(url, user_credentials=credentials, allow_reconnect=False)
    for version in itertools.count():
        await client.publish(f"{before}{version}{behind}", bytes(500))
        if version % 100 == 0:
            await client.flush()

asyncio.run(main(*sys.argv[1:]))
"""


def enter(guarded, credentials, name, shard):
    """Put somebody who is in already on the operator's list."""
    now = time.time()
    guarded.roster.add(
        Contributor(
            name=name,
            actor=actor_of(credentials),
            run=RUN,
            shard=shard,
            tier=Tier.STRANGER,
            ticket_sha256="0" * 64,
            invited=now,
            expires=now,
            user=credentials.key.public,
            joined=now,
        )
    )


class Honest:
    """Publishes a group of 30 KB every 10 ms, as a dozen busy actors would together."""

    def __init__(self, broker, actor, shard):
        self._broker, self._actor, self._shard = broker, actor, shard
        self.num_stored = 0

    async def latencies(self, seconds):
        """Milliseconds from publish to ack; every message must be acked."""
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            subject = names.rollouts_subject(RUN, self._shard, (1, self.num_stored), self._actor)
            began = time.monotonic()
            await self._broker.publish(subject, os.urandom(30_000), timeout_s=PATIENCE_S)
            found.append(1000 * (time.monotonic() - began))
            self.num_stored += 1
            await asyncio.sleep(0.01)
        return found


async def flooder(guarded, credentials, shard):
    """A process of its own that publishes as fast as the server takes it."""
    path = guarded.folder / "flooder.creds"
    path.unlink(missing_ok=True)
    credentials.save(path)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FLOODER, guarded.url, str(path)),
        *(f"rollouts.{RUN}.{shard}.1-", f".{actor_of(credentials)}"),
        stderr=asyncio.subprocess.DEVNULL,
    )


async def stored_of(guarded, actor, shard):
    """How many messages of an actor lie in a queue."""
    admin = await guarded.login(Role.ADMIN)
    stream, pattern = names.rollouts_stream(RUN, shard), f"rollouts.{RUN}.*.*.{actor}"
    counts = await admin.subjects(stream, pattern)
    await admin.close()
    return sum(counts.values())


def summary(name, found):
    p50, p99 = statistics.median(found), sorted(found)[int(0.99 * len(found))]
    return f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms of {len(found)}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("flood_at", ["s2", "s1"], ids=["another queue", "the same queue"])
async def test_a_flooder_is_cut_within_a_second_and_honest_work_goes_on(guarded, unique, flood_at):
    honest_at = "s1"
    bob, mallory = await guarded.contributor(honest_at), await guarded.contributor(flood_at)
    enter(guarded, bob, unique("bob"), honest_at)
    enter(guarded, mallory, unique("mallory"), flood_at)
    purged, cut = [], asyncio.Event()

    async def purge(contributor):
        purged.append(contributor)
        cut.set()
        return 0

    async with guarded.system() as system:
        traffic = TrafficReader(system)
        await traffic.begin()
        guard = Guard(
            run=RUN,
            keyring=guarded.keyring,
            roster=guarded.roster,
            push_account=partial(push_account, system),
            traffic=traffic,
            meter=Meter(FloodLimits()),
            purge=purge,
        )
        watching = [asyncio.create_task(loop()) for loop in (guard.watch, guard.clean_up)]
        broker = await NatsBroker.connect(guarded.url, name="bob", credentials=bob)
        honest = Honest(broker, actor_of(bob), honest_at)
        before = await honest.latencies(QUIET_S)

        process = await flooder(guarded, mallory, flood_at)
        sending = asyncio.create_task(honest.latencies(FLOOD_S + 3))
        began = await _first_message(traffic, actor_of(mallory))
        await cut.wait()
        cut_s = time.monotonic() - began
        during = await sending
        flooded = await sent_by(traffic, actor_of(mallory))
        after = await honest.latencies(QUIET_S)
        # The server has nothing from him any more; what it had taken it may still be storing.
        assert await sent_by(traffic, actor_of(mallory)) == flooded
        assert process.returncode is None or process.returncode > 0
        with contextlib.suppress(ProcessLookupError):  # he may have seen that he is out
            process.kill()
        await process.wait()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await broker.close()

    assert [one.actor for one in purged] == [actor_of(mallory)]
    assert guarded.roster.find(actor_of(mallory)).why.startswith("flood: ")
    assert not guarded.roster.find(actor_of(bob)).revoked
    for name, found in (("before", before), ("during", during), ("after", after)):
        print(summary(name, found))
    print(f"cut {cut_s:.2f} s after the first message was seen")
    assert cut_s < 1.0
    print(f"of {flooded} messages that the server had from him")
    assert await stored_of(guarded, actor_of(bob), honest_at) == honest.num_stored


async def sent_by(traffic, actor):
    found = (await traffic.read([actor])).get(actor)
    return found.num_messages if found else 0


async def _first_message(traffic, actor):
    """When the server had the first messages of an actor, to a few milliseconds."""
    while True:
        if await sent_by(traffic, actor):
            return time.monotonic()
        await asyncio.sleep(LOOK_EVERY_S / 40)


async def test_a_gate_that_is_started_again_cuts_nobody_off_for_what_was_before(guarded):
    bob = await guarded.contributor("s0")
    actor = actor_of(bob)
    broker = await NatsBroker.connect(guarded.url, name="bob", credentials=bob)
    limits = FloodLimits(burst_messages=20, messages_per_s=1)

    async def send(num_messages):
        for _ in range(num_messages):
            await broker.notify(names.heartbeat_subject(RUN, actor), b"x")
        # The server has seen those before it when it answers.
        await broker.publish(names.rollouts_subject(RUN, "s0", (1, 0), actor), os.urandom(8))

    await send(50)
    async with guarded.system() as system:
        traffic, meter = TrafficReader(system), Meter(limits)

        async def look():
            return meter.look(time.monotonic(), await traffic.read([actor]))

        assert not await look()
        await send(5)
        assert not await look()
        await send(30)
        assert set(await look()) == {actor}
    await broker.close()
