"""Facts come and go, and whoever waits for another state hears of it."""

import asyncio

from actors.rate import Rate
from actors.state import Said
from actors.status import Status
from schemas.heartbeat import State


async def test_what_goes_on_twice_goes_on_until_both_have_ended():
    status = Status()
    with status.doing(State.GENERATING):
        with status.doing(State.GENERATING):
            assert status.count(State.GENERATING) == 2
        assert (status.state, status.count(State.GENERATING)) == (State.GENERATING, 1)
    assert (status.state, status.count(State.GENERATING)) == (State.STARTING, 0)


async def test_what_it_waits_for_is_safe_to_print():
    status = Status()
    status.obstacle = Said(State.STORE_AWAY, "a\x1b[31m\nb" * 100)
    assert status.waiting_for.isprintable()
    assert len(status.waiting_for) <= 200


async def test_the_broker_is_looked_at_each_time():
    connected = True
    status = Status(lambda: connected)
    assert status.state is State.STARTING
    connected = False
    assert status.state is State.CONNECTING


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
