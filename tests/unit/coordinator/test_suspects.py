"""Who is judged aside, and until when."""

import asyncio

import pytest

from broker.interface import Record
from broker.memory import MemoryServer
from broker.memory.memory_broker import MemoryDelivery
from learner.coordinator.finding import Finding
from learner.coordinator.suspects import Suspects
from schemas.verdict import Reason

HIT, FINE = Finding(reason=Reason.MEMORY), Finding(reason=Reason.ENVELOPE)


def delivery(size: int = 10) -> MemoryDelivery:
    record = Record(stream="S", sequence=1, subject="s", data=bytes(size), time=0.0)
    return MemoryDelivery(MemoryServer(), record)


async def judged(suspects: Suspects, actor: str, finding: Finding) -> None:
    suspects.put(actor, delivery())
    taken, message = await suspects.take()
    suspects.settle(taken, message, finding)


async def test_an_actor_is_a_suspect_while_something_of_it_waits_or_is_judged():
    suspects = Suspects()
    assert not suspects.suspects("EVE")
    suspects.put("EVE", delivery())
    assert suspects.suspects("EVE")
    assert not suspects.suspects("ALICE")
    actor, message = await suspects.take()
    assert suspects.suspects("EVE")
    suspects.settle(actor, message, FINE)
    assert not suspects.suspects("EVE")


@pytest.mark.parametrize(("finding", "notorious"), [(HIT, True), (FINE, False)])
async def test_a_few_hits_make_an_actor_notorious(finding, notorious):
    suspects = Suspects()
    for _ in range(3):
        assert not suspects.is_notorious("EVE")
        await judged(suspects, "EVE", finding)
    assert suspects.is_notorious("EVE") is notorious
    assert suspects.suspects("EVE") is notorious


async def test_few_actors_are_remembered_those_with_the_latest_hits():
    suspects = Suspects()
    for _ in range(3):
        await judged(suspects, "EVE", HIT)
        await judged(suspects, "MALLORY", HIT)
    for number in range(1023):
        await judged(suspects, f"ACTOR{number}", HIT)
    assert suspects.is_notorious("MALLORY")
    assert not suspects.is_notorious("EVE")


async def test_while_many_bytes_lie_aside_the_next_round_waits():
    suspects = Suspects()
    await suspects.room()
    suspects.put("EVE", delivery(33 << 20))
    room = asyncio.create_task(suspects.room())
    await asyncio.sleep(0)
    assert not room.done()
    actor, message = await suspects.take()
    suspects.settle(actor, message, HIT)
    await asyncio.wait_for(room, 1.0)


async def test_while_many_bytes_lie_aside_a_notorious_actors_are_refused():
    suspects = Suspects()
    for _ in range(3):
        await judged(suspects, "EVE", HIT)
    suspects.put("EVE", delivery())
    assert suspects.surplus("EVE") is Reason.NONE
    suspects.put("EVE", delivery(33 << 20))
    assert suspects.surplus("EVE") is Reason.MEMORY
    assert suspects.surplus("ALICE") is Reason.NONE


async def test_of_a_notorious_actors_crowd_most_are_refused_for_what_the_others_did():
    suspects = Suspects()
    for _ in range(100):
        suspects.put("EVE", delivery())
    suspects.put("ALICE", delivery())
    examined = 0
    for _ in range(100):
        actor, message = await suspects.take()
        if surplus := suspects.surplus(actor):
            assert surplus is Reason.MEMORY
            suspects.settle(actor, message, None)
        else:
            examined += 1
            suspects.settle(actor, message, HIT)
    assert examined == 3 + 16
    actor, _ = await suspects.take()
    assert (actor, suspects.surplus(actor)) == ("ALICE", Reason.NONE)
