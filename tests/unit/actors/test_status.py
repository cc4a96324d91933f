"""One word for many things that go on at once."""

import asyncio

from actors.rate import Rate
from actors.status import Status
from schemas.heartbeat import State


async def test_the_most_telling_activity_is_the_state():
    status = Status()
    assert status.state is State.STARTING
    with status.doing(State.WAITING_FOR_LEASE, "work"):
        assert (status.state, status.waiting_for) == (State.WAITING_FOR_LEASE, "work")
        with status.doing(State.GENERATING), status.doing(State.GENERATING):
            assert (status.state, status.waiting_for) == (State.GENERATING, "")
            assert status.count(State.GENERATING) == 2
            with status.doing(State.QUEUE_FULL, "room"):
                assert status.state is State.QUEUE_FULL
            assert status.state is State.GENERATING
    assert status.state is State.STARTING


async def test_what_it_waits_for_is_safe_to_print():
    status = Status()
    with status.doing(State.CONNECTING, "a\x1b[31m\nb" * 100):
        assert status.waiting_for.isprintable()
        assert len(status.waiting_for) <= 200


async def test_every_state_of_an_actor_has_a_rank():
    status = Status()
    for state in (
        State.COORDINATOR_AWAY,
        State.FEED_FROZEN,
        State.STORE_AWAY,
        State.FETCHING,
        State.STOPPED,
    ):
        with status.doing(state), status.doing(State.WAITING_FOR_LEASE):
            assert status.state is state


async def test_a_broker_that_is_away_is_more_telling_than_work():
    connected = True
    status = Status(lambda: connected)
    with status.doing(State.GENERATING):
        assert status.state is State.GENERATING
        connected = False
        assert (status.state, status.waiting_for) == (State.CONNECTING, "the broker")
        with status.doing(State.DRAINING):
            assert status.state is State.DRAINING


async def test_another_state_is_waited_for():
    status = Status()
    waiting = asyncio.create_task(status.another_state(State.STARTING, timeout_s=10))
    await asyncio.sleep(0)
    with status.doing(State.LOADING):
        await asyncio.wait_for(waiting, 1)
    await status.another_state(State.STARTING, timeout_s=0.01)


def test_rate_is_over_the_last_seconds():
    now = 0.0
    rate = Rate(clock=lambda: now)
    rate.add(10)
    now = 2.0
    assert rate.per_s() == 5.0
    now = 9.0
    rate.add(40)
    now = 15.0
    assert rate.per_s() == 4.0
    now = 60.0
    assert rate.per_s() == 0.0
