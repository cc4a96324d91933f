"""What the guard does about a flooder while coordinator, server or disk are in trouble."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from broker.accounts import jwt
from broker.accounts.claims import AccountClaims
from broker.accounts.keyring import Keyring, new_account
from broker.accounts.roster import Contributor, Roster
from broker.accounts.tier import Tier
from broker.gate.guard import Guard
from broker.gate.meter import FloodLimits, Meter, Traffic
from schemas.errors import BrokerUnavailable, NotLetIn

LIMITS = FloodLimits(burst_messages=10, messages_per_s=1)


class Stage:
    """A guard between a server, a coordinator and a disk that are played."""

    def __init__(self, folder):
        self.keyring = Keyring.open(folder)
        self.roster = Roster(folder / "contributors")
        self.sent = {}
        self.out, self.said, self.purged = [], asyncio.Queue(), asyncio.Queue()
        self.push_fails = False
        self.fails_for = ""
        self.may_purge = asyncio.Event()
        self.may_purge.set()

    def enter(self, name, **more):
        one = Contributor(
            name=name,
            actor=new_account(),
            run="demo",
            shard="s0",
            tier=Tier.STRANGER,
            ticket_sha256="0" * 64,
            invited=time.time(),
            expires=time.time(),
            user="U",
            joined=time.time(),
            **more,
        )
        self.roster.add(one)
        self.sent[one.actor] = Traffic()
        return one

    def flood(self, one):
        self.sent[one.actor] += Traffic(num_messages=1000)

    async def push(self, token):
        if self.push_fails or jwt.read(token).name == self.fails_for:
            raise BrokerUnavailable("the server is away")
        assert _about(token).revocations
        self.out.append(jwt.read(token).sub)
        self.said.put_nowait(self.out[-1])

    async def purge(self, contributor):
        await self.may_purge.wait()
        self.purged.put_nowait(contributor.name)
        return 1

    async def read(self, actors):
        return {actor: self.sent[actor] for actor in actors}

    async def guard(self):
        """One that has looked once."""
        guard = Guard(
            run="demo",
            keyring=self.keyring,
            roster=self.roster,
            push_account=self.push,
            traffic=self,
            meter=Meter(LIMITS),
            purge=self.purge,
        )
        await guard.look()
        return guard


class _Claims(msgspec.Struct):
    nats: AccountClaims


def _about(token):
    return jwt._decode(token, _Claims).nats


@asynccontextmanager
async def cleaning(guard):
    task = asyncio.create_task(guard.clean_up())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


async def test_a_coordinator_that_takes_its_time_keeps_nobody_in(stage):
    first, second = stage.enter("first"), stage.enter("second")
    stage.may_purge.clear()
    guard = await stage.guard()
    async with cleaning(guard), asyncio.timeout(2):
        stage.flood(first)
        await guard.look()
        stage.flood(second)
        await guard.look()
        assert {first.actor, second.actor} <= set(stage.out)
        assert stage.purged.empty()
        stage.may_purge.set()
        assert {await stage.purged.get(), await stage.purged.get()} == {"first", "second"}


async def test_a_server_that_is_away_does_not_save_a_flooder(stage):
    one = stage.enter("one")
    guard = await stage.guard()
    stage.flood(one)
    stage.push_fails = True
    await guard.look()
    stage.push_fails = False
    async with cleaning(guard), asyncio.timeout(2):
        assert await stage.purged.get() == "one"
    assert stage.out == [one.actor]
    assert not stage.roster.find("one").to_purge


async def test_a_word_that_does_not_get_through_keeps_no_other_flooder_in(stage):
    first, second = stage.enter("first"), stage.enter("second")
    guard = await stage.guard()
    for one in (first, second):
        stage.flood(one)
    stage.fails_for = "first"
    await guard.look()
    assert stage.out == [second.actor]
    stage.fails_for = ""
    async with cleaning(guard), asyncio.timeout(2):
        assert {await stage.purged.get(), await stage.purged.get()} == {"first", "second"}
    assert first.actor in stage.out


async def test_a_disk_that_is_full_does_not_save_a_flooder(stage, monkeypatch):
    one = stage.enter("one")
    guard = await stage.guard()
    stage.flood(one)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage.roster, "revoke", full)
    await guard.look()
    assert stage.out == [one.actor]


async def test_who_was_thrown_out_is_kept_out_by_the_next_gate(stage):
    """The one before may have been killed before the server knew."""
    killed = stage.enter("killed", revoked=1.0, to_purge=True)
    said = stage.enter("said", revoked=1.0)
    stage.enter("stays")
    async with cleaning(await stage.guard()), asyncio.timeout(2):
        assert await stage.purged.get() == "killed"
        assert await stage.said.get() == killed.actor
        assert await stage.said.get() == said.actor
    assert set(stage.out) == {killed.actor, said.actor}


async def test_a_damaged_file_is_passed_over_and_the_others_are_watched(stage, capsys):
    mallory, bob = stage.enter("mallory"), stage.enter("bob")
    guard = await stage.guard()
    file = stage.roster._path("bob")
    whole = file.read_text()
    file.write_text("{")
    stage.flood(mallory)
    stage.flood(bob)
    async with cleaning(guard), asyncio.timeout(2):
        for _ in range(3):
            await guard.look()
        assert await stage.purged.get() == "mallory"
    assert set(stage.out) == {mallory.actor}
    log = capsys.readouterr().out
    assert log.count("passed over") == 1
    assert f"{file}: " in log
    assert "mend it or put back a copy" in log
    # Mended, he is watched again, from what he has sent by then.
    file.write_text(whole)
    await guard.look()
    assert set(stage.out) == {mallory.actor}
    stage.flood(bob)
    await guard.look()
    assert set(stage.out) == {mallory.actor, bob.actor}


async def test_a_file_that_is_damaged_while_he_floods_keeps_nobody_in(stage):
    mallory = stage.enter("mallory")
    guard = await stage.guard()
    stage.flood(mallory)
    read = stage.read

    async def read_and_damage(actors):
        stage.roster._path("mallory").write_text("{")
        return await read(actors)

    stage.read = read_and_damage
    await guard.look()
    assert stage.out == [mallory.actor]


async def test_a_gate_that_is_thrown_out_itself_ends(stage):
    async def read(actors):
        raise NotLetIn("the server has closed the connection: user authentication revoked")

    stage.enter("alice")
    guard = await stage.guard()
    stage.read = read
    with pytest.raises(NotLetIn):
        async with asyncio.timeout(5):
            await guard.watch()
