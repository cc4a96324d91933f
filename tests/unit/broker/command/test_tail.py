"""`broker tail`: what has happened last, and what happens as it happens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from broker.look import happenings
from broker.look.happenings import Happening, Kind
from broker.look.tail import tail
from broker.look.tail_view import show_happening, show_happening_json
from broker.memory import MemoryBroker
from schemas import ledger, names
from schemas.errors import UserError
from schemas.heartbeat import Heartbeat, State
from schemas.purge import PurgeReason
from schemas.trainer_events import StepSkipped, TrainerEntry
from schemas.verdict import Outcome, Reason, Verdict
from schemas.wire import encode
from tests.support import hand_built
from tests.support.runs import SyntheticRun

EVERYTHING = 1000


class Seen:
    """What a tail has shown and said so far."""

    def __init__(self) -> None:
        self.shown: asyncio.Queue[Happening] = asyncio.Queue()
        self.said: list[str] = []

    async def next(self) -> Happening:
        async with asyncio.timeout(5):
            return await self.shown.get()

    def now(self) -> list[Happening]:
        return [self.shown.get_nowait() for _ in range(self.shown.qsize())]


@contextlib.asynccontextmanager
async def tailing(broker, run: str, *, last: int = 0, words: bool = False) -> AsyncIterator[Seen]:
    """A tail that has shown what was before."""
    seen = Seen()
    following = asyncio.create_task(
        tail(broker, run, last=last, words=words, show=seen.shown.put_nowait, say=seen.said.append)
    )
    for _ in range(20):
        await asyncio.sleep(0)
    yield seen
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


async def test_all_that_has_happened_is_told_in_the_order_of_time(broker) -> None:
    async with tailing(broker, "demo", last=EVERYTHING) as seen:
        told = seen.now()
    assert [each.time for each in told] == sorted(each.time for each in told)
    kinds = [each.kind for each in told]
    assert {kind: kinds.count(kind) for kind in Kind if kind in kinds} == {
        Kind.OPENED: 1,
        Kind.STARTED: 3,
        Kind.LEASE: 11,
        Kind.EXPIRED: 1,
        Kind.ABANDONED: 1,
        Kind.ACCEPTED: 7,
        Kind.REFUSED: 5,
        Kind.DROPPED: 1,
        Kind.BATCH: 2,
        Kind.INCARNATION: 1,
        Kind.POLICY: 3,
    }
    texts = {(each.kind, each.who, each.text) for each in told}
    for line in (
        (Kind.ACCEPTED, "ALICE", "message s0:9, lease 7: policy 1-1, rewards 1 0"),
        (Kind.REFUSED, "BOB", "message s0:11, no lease: stale; made with version 0"),
        (Kind.BATCH, "coordinator", "step 2: 2 rows of 2 actors, staleness 0 at most"),
        (Kind.POLICY, "trainer", "policy 1-2: loss 0, step 0 s, waited 0 s"),
    ):
        assert line in texts


@pytest.mark.parametrize("last", [0, 1, 3])
async def test_so_many_of_what_has_happened_are_told(broker, last: int) -> None:
    async with tailing(broker, "demo", last=last) as seen:
        told = seen.now()
    assert len(told) == last
    assert [each.kind for each in told] == [Kind.POLICY] * last


async def test_what_happens_is_told_as_it_happens() -> None:
    run = SyntheticRun(name="live")
    await run.open()
    async with tailing(run.broker, "live") as seen:
        await run.accept("ALICE", [True, False])
        lease, accepted = await seen.next(), await seen.next()
        assert (lease.kind, lease.who, lease.stream) == (Kind.LEASE, "ALICE", "LOG_live")
        assert (accepted.kind, accepted.sequence) == (Kind.ACCEPTED, lease.sequence + 1)
        await run.announce()
        announced = await seen.next()
        assert (announced.kind, announced.stream) == (Kind.POLICY, "POLICIES_live")
        assert announced.text.startswith("policy 1-1")
        assert seen.said == []


async def test_a_purge_and_a_cut_are_told_as_they_happen() -> None:
    run = SyntheticRun(name="live")
    await run.open()
    async with tailing(run.broker, "live") as seen:
        await run.say(ledger.ActorCutOff(actor="MALLORY", change=0))
        await run.purge("MALLORY", 20, PurgeReason.CUT_OFF)
        await run.say(ledger.ActorLetIn(actor="MALLORY", change=1))
        told = [await seen.next() for _ in range(4)]
    assert [(each.kind, each.who, each.text) for each in told] == [
        (Kind.CUT_OFF, "MALLORY", "its messages are rejected, it has no leases"),
        (
            Kind.PURGE,
            "coordinator",
            "purged(cut-off) 0 of s0: up to 20 messages on rollouts.live.s0.*.MALLORY",
        ),
        (Kind.PURGE, "coordinator", "purged(cut-off) 0 of s0: 20 messages gone without a verdict"),
        (Kind.LET_IN, "MALLORY", "it may work again"),
    ]


async def test_what_nobody_of_the_run_wrote_is_told_as_unreadable() -> None:
    run = SyntheticRun(name="live")
    await run.open()
    log = (await run.broker.state("LOG_live")).last_sequence
    policies = (await run.broker.state("POLICIES_live")).last_sequence
    async with tailing(run.broker, "live") as seen:
        await run.broker.append("LOG_live", "ledger.live", b"\x1b[31m", expected_last=log)
        assert (await seen.next()).kind is Kind.UNREADABLE
        forged = hand_built.sign_announcement(
            hand_built.RunKey(b"\1" * 32),
            run="live",
            policy=hand_built.PolicyId(1, 9),
            manifest_sha256="0" * 64,
            instance="x",
        )
        await run.broker.append(
            "POLICIES_live", "policy.live", encode(forged), expected_last=policies
        )
        told = await seen.next()
        assert (told.kind, "sign" in told.text) == (Kind.UNREADABLE, True)


async def test_words_that_no_log_keeps_are_told_where_asked_for(broker) -> None:
    heartbeat = Heartbeat(
        run="demo", who="ALICE", instance="i", state=State.GENERATING, tokens_per_s=12.0
    )
    verdict = Verdict(
        stream=hand_built.QUEUE,
        sequence=3,
        sha256="0" * 64,
        actor="BOB",
        lease_id=2,
        outcome=Outcome.REJECTED,
        reason=Reason.TOKENS,
        detail="id 99",
    )
    async with tailing(broker, "demo") as silent, tailing(broker, "demo", words=True) as seen:
        await broker.notify(names.heartbeat_subject("demo", "ALICE"), encode(heartbeat))
        await broker.notify(names.heartbeat_subject("demo", "MALLORY"), encode(heartbeat))
        await broker.notify(names.heartbeat_subject("demo", "MALLORY"), b"junk")
        await broker.notify(names.verdict_subject("demo", "BOB"), encode(verdict))
        await broker.notify(names.verdict_subject("demo", "BOB"), b"junk")
        told = {(await seen.next()).kind: None, (await seen.next()).kind: None}
        assert set(told) == {Kind.HEARTBEAT, Kind.VERDICT}
        assert seen.now() == silent.now() == []
    said = happenings.of_heartbeat("heartbeat.demo.ALICE", encode(heartbeat), 1.0)
    assert said is not None
    assert said.text == "generating, 12 tokens/s"
    told_of = happenings.of_verdict("demo", encode(verdict), 1.0)
    assert told_of is not None
    assert (told_of.who, told_of.text) == ("BOB", "message s0:3: rejected(tokens); id 99")


async def test_a_server_that_goes_away_is_said_and_what_came_behind_it_is_told(
    monkeypatch, server
) -> None:
    monkeypatch.setattr("broker.look.tail._LOOK_EVERY_S", 0)
    broker = MemoryBroker(server)
    async with tailing(broker, "demo") as seen:
        server.stop()
        for _ in range(5):
            await asyncio.sleep(0)
        server.start()
        skipped = StepSkipped(instance="trainer-1", incarnation=1, step=3, detail="not finite")
        entry = encode(TrainerEntry(event=skipped))
        await broker.append("POLICIES_demo", "trainer.demo", entry, expected_last=5)
        told = await seen.next()
        assert (told.kind, told.text) == (Kind.SKIPPED, "the update of step 3: not finite")
        assert seen.said == ["the server is away; waiting for it", "the server is back"]


async def test_an_unknown_run_has_a_nearest(broker) -> None:
    with pytest.raises(UserError, match="the server has no run dmo; the nearest is demo"):
        await tail(broker, "dmo", last=0, words=False, show=print, say=print)


def test_each_happening_is_a_line(capsys) -> None:
    key = "A" * 56
    entry = ledger.GroupRefused(
        stream=hand_built.QUEUE,
        sequence=4,
        sha256="0" * 64,
        actor=key,
        lease_id=1,
        closes_lease=True,
        outcome=Outcome.REJECTED,
        reason=Reason.RENDERING,
        detail="\x1b[31m\nok",
    )
    (item,) = hand_built.items([hand_built.entry(entry)])
    (told,) = happenings.of_log("demo", item)
    show_happening(told)
    show_happening_json(told)
    line, document = capsys.readouterr().out.splitlines()
    assert line == (
        "2027-01-15 08:00:01.000Z  refused      AAAAAAAA…    message s0:4, lease 1: "
        r"rejected(rendering); \x1b[31m\nok"
    )
    assert json.loads(document)["who"] == key
    assert list(json.loads(document)) == ["time", "kind", "who", "text", "stream", "sequence"]
