"""What follows a run, on brokers in memory: it consumes nothing and waits for servers."""

import asyncio
import gc
import sys

import pytest

from broker.memory import MemoryBroker
from broker.streams import run_streams
from broker.top.live import Live
from broker.top.show import Looks, on_screen
from broker.top.sort import Sort
from broker.top.view import Badge, TopView
from schemas import names
from schemas.errors import BrokerError, BrokerUnavailable, UserError
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.wire import encode
from tests.support.runs import SyntheticRun

YES_NO = (True, False, False, False)


@pytest.fixture
async def run() -> SyntheticRun:
    run = SyntheticRun()
    (queue, *_) = [spec for spec in run_streams(run.settings) if spec.consumer]
    await run.broker.ensure_stream(queue)
    await run.open()
    await run.accept("ALICE", YES_NO)
    await run.accept("BOB", YES_NO)
    return run


async def beat(run: SyntheticRun, who: str, state: State = State.GENERATING) -> None:
    name = run.settings.name
    said = Heartbeat(run=name, who=who, instance="i", state=state, policy=PolicyId(1, 0))
    await run.broker.notify(names.heartbeat_subject(name, who), encode(said))


async def until(live: Live, condition) -> TopView:
    """The first view for which it holds."""
    async with asyncio.timeout(5):
        await live.until(lambda: condition(live.view(Sort.ACTOR)))
    return live.view(Sort.ACTOR)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Nobody says anything here, so nothing is waited for."""
    monkeypatch.setattr("broker.top.show.HEARD_S", 0.0)


@pytest.fixture
async def live(run):
    badges = {"ALICE": Badge("alice", "trusted")}
    live = Live(run.broker, run.settings.name, badges=lambda: badges, wall_clock=lambda: run.now)
    following = asyncio.create_task(live.follow())
    yield live
    following.cancel()


async def test_a_run_is_followed_as_it_goes_on(run, live):
    async with asyncio.timeout(5):
        await live.until_known(timeout_s=0)
    view = live.view(Sort.ACTOR)
    assert (view.connected, view.share_read) == (True, 1.0)
    assert [(one.actor, one.name, one.num_accepted) for one in view.actors] == [
        ("ALICE", "alice", 1),
        ("BOB", "", 1),
    ]
    assert view.head.num_waiting == 2
    await run.cut()
    await run.announce()
    await run.refuse_claim("BOB", YES_NO)
    await beat(run, "ALICE")
    await beat(run, "coordinator", State.FINISHED)
    view = await until(live, lambda view: view.head.policy == PolicyId(1, 1))
    view = await until(live, lambda view: view.head.coordinator.state is State.FINISHED)
    assert (view.head.step, view.head.num_waiting) == (1, 0)
    alice, bob = view.actors
    assert (alice.state, bob.num_refused, bob.state) == (State.GENERATING, 1, None)
    assert [one.verdict for one in live.judged("BOB")] == ["rejected(reward-mismatch)", "accepted"]


async def test_a_server_that_goes_away_and_comes_back(run, live):
    await until(live, lambda view: view.share_read == 1.0)
    server = run.broker._server
    server.stop()
    view = live.view(Sort.ACTOR)
    assert not view.connected
    assert view.actors[0].num_accepted == 1
    server.start()
    await run.accept("ALICE", YES_NO)
    view = await until(live, lambda view: view.actors[0].num_accepted == 2)
    assert view.connected


async def counts(run: SyntheticRun) -> list[tuple[int, ...]]:
    states = [await run.broker.state(name) for name in await run.broker.streams()]
    return [
        (state.num_messages, state.last_sequence, state.num_pending, state.num_ack_pending)
        for state in states
    ]


async def test_looking_changes_nothing(run):
    group = await run.broker.publish(
        names.rollouts_subject(run.settings.name, "s0", (1, 0), "ALICE"), b"no group"
    )
    before = await counts(run)
    looks = Looks("", dict, sort=Sort.GROUPS, reverse=False)
    view = await looks(run.broker)
    assert view.head.queue is not None
    assert view.head.queue.num_messages == group.sequence
    assert await counts(run) == before


async def test_a_look_at_a_server_that_is_away_is_to_be_repeated(run):
    looks = Looks(run.settings.name, dict, sort=Sort.GROUPS, reverse=False)
    assert len((await looks(run.broker)).actors) == 2
    run.broker._server.stop()
    with pytest.raises(BrokerUnavailable):
        await looks(run.broker)
    run.broker._server.start()
    assert len((await looks(run.broker)).actors) == 2


async def test_an_unknown_run_is_one_sentence(run):
    with pytest.raises(UserError, match="the server has no run nope"):
        await Looks("nope", dict, sort=Sort.GROUPS, reverse=False)(run.broker)


async def test_a_run_that_nobody_has_opened_yet_has_a_head():
    run = SyntheticRun()
    for spec in run_streams(run.settings):
        await run.broker.ensure_stream(spec)
    view = await Looks("", dict, sort=Sort.GROUPS, reverse=False)(run.broker)
    assert (view.head.num_steps, view.actors, view.share_read) == (0, (), 1.0)


async def test_a_stream_that_is_missing_is_said(run):
    del run.broker._server.streams[names.policies_stream(run.settings.name)]
    with pytest.raises(Exception, match="POLICIES_synthetic"):
        await Looks("", dict, sort=Sort.GROUPS, reverse=False)(MemoryBroker(run.broker._server))


async def test_without_textual_the_screen_is_one_sentence(run, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("textual", "broker.top.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(UserError, match=r"pip install 'tributary-rl\[screen\]', or take --json"):
        await on_screen(run.broker, "", dict, sort=Sort.GROUPS, reverse=False, every_s=1.0)


async def test_what_fails_after_the_last_question_is_not_told(run, monkeypatch):
    """As when the connection is closed: nobody asks any more."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    looks = Looks("", dict, sort=Sort.GROUPS, reverse=False)
    await looks(run.broker)
    following = looks._following
    assert following is not None

    async def state(stream: str) -> None:
        raise BrokerError("the connection is closed")

    monkeypatch.setattr("broker.top.live._QUEUES_EVERY_S", 0.0)
    monkeypatch.setattr(run.broker, "state", state)
    await asyncio.wait((following,), timeout=5)
    assert following.done()
    del looks, following
    gc.collect()
    assert told == []
