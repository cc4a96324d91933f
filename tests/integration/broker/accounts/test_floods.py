"""Too much of everything: only who does it feels it."""

import asyncio
import json

import pytest

from broker.accounts.account import CONTRIBUTOR_LIMITS
from schemas import names
from schemas.types import MAX_WIRE_BYTES
from tests.support.guarded import RUN
from tests.support.siege import MARK, QUEUE

pytestmark = [pytest.mark.integration, pytest.mark.alone]

NUM_CONNECTIONS = CONTRIBUTOR_LIMITS.conn


async def cut_off(wire):
    await wire.settle()
    await asyncio.wait_for(wire.closed.wait(), 5)


async def test_what_is_too_large_is_refused(siege):
    mallory = await siege.attacker()
    own = siege.rollouts_of(siege.mallory_id)
    async with siege.goes_on():
        # More than the queue takes, more than his account may, more than anybody may.
        answer = json.loads(await mallory.ask(own, bytes((1 << 20) + 200), inbox="_INBOX.answer"))
        assert answer["error"]["err_code"] == 10054
        for size in (CONTRIBUTOR_LIMITS.payload + 1, MAX_WIRE_BYTES + (2 << 20)):
            huge = await siege.attacker()
            huge.publish(own, bytes(size))
            await cut_off(huge)
            assert huge.refusals in ([], ["'Maximum Payload Violation'"])
    assert await siege.attackers_groups() == []
    assert not mallory.closed.is_set()


async def test_what_is_no_protocol_ends_a_connection_and_no_more(siege):
    own = siege.rollouts_of(siege.mallory_id).encode()
    async with siege.goes_on():
        for odd in (
            b"PUB " + b"x" * 5000 + b"\r\n",
            b"PUB " + own + b" -1\r\n",
            b"PUB " + own + b" 99999999999\r\n",
            b"PUB " + own + b" 5\r\nmore than five\r\n",
            b"HPUB " + own + b" 5 4\r\n",
            b"\x00\xff\r\n",
            # What only servers and leaf nodes say to each other.
            b"A+ x\r\n",
            b"RS+ x\r\n",
            b"LS+ x\r\n",
            b"RMSG x y 1\r\nz\r\n",
            b"LMSG y 1\r\nz\r\n",
            b"MSG a 1 1\r\nx\r\n",
        ):
            mallory = await siege.attacker()
            mallory.write(odd)
            await cut_off(mallory)
    assert await siege.attackers_groups() == []


async def test_who_logs_in_once_more_gets_no_more(siege):
    mallory = await siege.attacker()
    core = siege.guarded.keyring.accounts.core
    async with siege.goes_on():
        for options in ({}, {"account": core}, {"user": "admin", "pass": "x"}, {"jwt": "x"}):
            mallory.write(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
            mallory.subscribe("rollouts.>")
            mallory.publish(names.ledger_subject(RUN), MARK)
            mallory.publish(siege.rollouts_of(siege.bob_id), MARK)
            await mallory.settle()
    assert mallory.heard == []
    assert await siege.attackers_groups() == []


async def test_a_flood_of_tiny_messages_is_his_own(siege):
    """Each is stored or answered, and the honest one is served in the midst of them."""
    floods = [await siege.attacker() for _ in range(NUM_CONNECTIONS)]
    others = [
        names.heartbeat_subject(RUN, siege.mallory_id),
        names.lease_subject(RUN, siege.mallory_id),
        names.grant_subject(RUN, siege.mallory_id),
    ]
    num_groups = 600
    async with siege.goes_on():
        for version in range(num_groups):
            flood = floods[version % len(floods)]
            flood.publish(siege.rollouts_of(siege.mallory_id, version), MARK)
            for subject in others:
                flood.publish(subject, MARK, reply_to="_INBOX.answer")
        for flood in floods:
            await flood.settle()
    stored = await siege.attackers_groups()
    assert (len(stored), {data for _, data in stored}) == (num_groups, {MARK})


async def test_a_queue_is_full_for_who_fills_it(siege):
    """While nobody judges: so many messages of a policy's version, and no more."""
    siege.held = asyncio.Queue()
    mallory, own = await siege.attacker(), siege.rollouts_of(siege.mallory_id)
    quota = (await siege.coordinator.spec(QUEUE)).max_messages_per_subject
    said = [
        json.loads(await mallory.ask(own, MARK + b"%d" % number, inbox="_INBOX.answer"))
        for number in range(quota + 10)
    ]
    assert [answer.get("error", {}).get("err_code") for answer in said] == [
        *[None] * quota,
        *[10077] * 10,
    ]
    assert not (await siege.honest.publish(siege.rollouts_of(siege.bob_id), b"group")).duplicate
    for _ in range(quota + 1):
        await (await asyncio.wait_for(siege.held.get(), 5)).ack()
    siege.held = None
    await siege.work()


async def test_so_many_connections_and_no_more(siege):
    """The one too many is told so, and may come when another has gone."""
    inside = [await siege.attacker() for _ in range(NUM_CONNECTIONS)]
    async with siege.goes_on():
        for _ in range(3):
            one_more = await siege.wire(siege.mallory)
            await cut_off(one_more)
            assert one_more.refusals == ["'maximum account active connections exceeded'"]
        await inside.pop().close()
        async with asyncio.timeout(5):
            while True:
                next_one = await siege.wire(siege.mallory)
                await next_one.settle()
                if not next_one.closed.is_set():
                    break
    assert not any(wire.closed.is_set() for wire in inside)


async def test_connections_that_come_and_go(siege):
    async with siege.goes_on():
        for number in range(60):
            wire = await siege.wire(siege.mallory if number % 2 else None)
            await wire.settle()
            assert wire.closed.is_set() == (number % 2 == 0)
            await wire.close()


async def test_so_many_subscriptions_and_no_more(siege):
    mallory = await siege.attacker()
    async with siege.goes_on():
        for number in range(CONTRIBUTOR_LIMITS.subs + 9):
            mallory.subscribe(f"_INBOX.{number}")
        await mallory.settle()
    assert mallory.refusals == ["'maximum subscriptions exceeded'"] * 10


async def test_who_never_reads_holds_nobody_up(siege):
    """Announcements go to him and to the honest one; the trainer waits for neither."""
    sleepers = [await siege.wire(siege.mallory, reads=False) for _ in range(NUM_CONNECTIONS)]
    for sleeper in sleepers:
        sleeper.subscribe(names.policy_subject(RUN))
        await sleeper.drain()
    async with siege.goes_on():
        for number in range(40):
            await siege.announce(b"%d" % number + bytes(1 << 18))
