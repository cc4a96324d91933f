"""A question is asked again while it waits, and any answer to it will do."""

import asyncio
import time

import pytest

from broker.again import ask_again
from broker.memory import MemoryBroker, MemoryServer
from schemas.errors import BrokerUnavailable, NoResponders


class Asker:
    def __init__(self) -> None:
        self.server = MemoryServer()
        self.broker = MemoryBroker(self.server)
        self.heard = 0
        self.hears = asyncio.Event()

    async def served(self, delay_s: float, answer: bytes = b"answer") -> MemoryBroker:
        """Somebody who answers each question after a while."""

        async def handle(_subject: str, _data: bytes) -> bytes:
            self.heard += 1
            self.hears.set()
            await asyncio.sleep(delay_s)
            return answer

        servant = MemoryBroker(self.server)
        await servant.serve("question", handle)
        return servant

    async def ask(self, *, every_s: float = 0.03, most: int = 3, timeout_s: float = 5.0) -> bytes:
        return await ask_again(
            self.broker, "question", b"?", every_s=every_s, most=most, timeout_s=timeout_s
        )


@pytest.fixture
async def asker():
    return Asker()


async def test_a_quick_answer_is_asked_for_once(asker):
    await asker.served(0.0)
    assert await asker.ask() == b"answer"
    assert asker.heard == 1


async def test_the_first_question_of_somebody_slow_is_answered(asker):
    await asker.served(0.2)
    began = time.monotonic()
    assert await asker.ask() == b"answer"
    assert time.monotonic() - began < 0.25
    assert asker.heard == 3


async def test_whoever_comes_after_a_hearer_that_is_gone_answers(asker):
    gone = await asker.served(60.0)
    asking = asyncio.create_task(asker.ask(every_s=0.05))
    await asker.hears.wait()
    await gone.close()
    await asker.served(0.0, b"another answer")
    assert await asyncio.wait_for(asking, 0.5) == b"another answer"


async def test_that_the_hearer_is_gone_is_known_at_the_next_question(asker):
    gone = await asker.served(60.0)
    asking = asyncio.create_task(asker.ask())
    await asker.hears.wait()
    await gone.close()
    with pytest.raises(NoResponders):
        await asyncio.wait_for(asking, 0.5)


async def test_silence_ends_in_time(asker):
    servant = await asker.served(60.0)
    with pytest.raises(BrokerUnavailable, match="no answer"):
        await asker.ask(timeout_s=0.1)
    await servant.close()
