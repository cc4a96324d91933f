"""Answers requests beside the caller, a few of each subject at once: nobody fills the room."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from schemas.errors import BrokerUnavailable

MAX_INSIDE = 8
"""Requests of one subject: one that waits, its repetitions, and what lost connections have left."""


class Turnstile:
    """Counts who is inside, by subject."""

    def __init__(self) -> None:
        self._inside: Counter[str] = Counter()
        self._answering: set[asyncio.Task[None]] = set()

    def let_in(self, subject: str, answer: Callable[[], Awaitable[None]]) -> None:
        """Begin to answer a request; when too many of its subject are inside, it stays out.

        What cannot be answered is logged, and whoever asked runs into his time limit.
        """
        if self._inside[subject] < MAX_INSIDE:
            self._inside[subject] += 1
            task = asyncio.create_task(self._answer(subject, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, subject: str, answer: Callable[[], Awaitable[None]]) -> None:
        log = structlog.get_logger()
        try:
            await answer()
        except BrokerUnavailable as error:
            # Of each subject a few, whenever a server goes away: a sentence is enough.
            log.warning("request_unanswered", subject=subject, reason=str(error))
        except Exception:
            log.exception("request_unanswered", subject=subject)
        finally:
            self._inside[subject] -= 1
            if not self._inside[subject]:
                del self._inside[subject]

    async def close(self) -> None:
        """Leave unanswered whatever is inside."""
        answering = list(self._answering)
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
