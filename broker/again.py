"""A question that is asked again while it waits, because its hearer may be gone without a word.

A server tells an asker that nobody serves a subject, but not that the process which held his
question was killed. Asking again finds out: nobody is there, or somebody else is, who answers. The
earlier questions stay open, so that one who is slow is not asked in vain.
"""

import asyncio

from broker.interface import Broker


async def ask_again(
    broker: Broker, subject: str, data: bytes, *, every_s: float, most: int, timeout_s: float
) -> bytes:
    """Ask at most `most` times, `every_s` apart; returns the first answer to any of them.

    For requests that may be repeated without changing anything.

    Raises:
        NoResponders: nobody serves the subject, or not any more.
        BrokerUnavailable: no answer in `timeout_s`, or the server is away.
        PermissionDenied
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    asked: set[asyncio.Task[bytes]] = set()
    try:
        while True:
            request = broker.request(subject, data, timeout_s=end - loop.time())
            asked.add(asyncio.create_task(request))
            done, _ = await asyncio.wait(
                asked,
                timeout=every_s if len(asked) < most else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return min(done, key=lambda task: task.exception() is not None).result()
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
