"""Where the answers to a question on a NATS connection arrive, and what the server says in them."""

import asyncio

from nats.aio.msg import Msg

from schemas.errors import BrokerError, BrokerUnavailable


class Inbox:
    """Where the answers to one question arrive."""

    def __init__(self, asked: str, deadline: float) -> None:
        self.asked = asked
        self.deadline = deadline
        """On the event loop's clock."""
        self.queue: asyncio.Queue[Msg | BrokerError] = asyncio.Queue()

    async def next(self) -> Msg:
        """The next answer.

        Raises:
            BrokerUnavailable: none came in time, or the connection was lost.
            PermissionDenied: the server refused the question.
        """
        # A timeout costs more than the rest of a record of a log, and most are here already.
        if (answer := self.next_nowait()) is not None:
            return answer
        try:
            async with asyncio.timeout_at(self.deadline):
                answer = await self.queue.get()
        except TimeoutError:
            raise BrokerUnavailable(f"no answer in time on {self.asked}") from None
        if isinstance(answer, BrokerError):
            raise answer
        return answer

    def next_nowait(self) -> Msg | None:
        """As `next`, for what is here already; None when nothing is."""
        if self.queue.empty():
            return None
        answer = self.queue.get_nowait()
        if isinstance(answer, BrokerError):
            raise answer
        return answer


def status(message: Msg) -> int | None:
    """The server's status code, for instance 404; None for an ordinary message.

    Only meaningful for what comes from the server itself: a stranger can send such a header.
    """
    code = (message.headers or {}).get("Status", "")
    return int(code) if code.isdigit() else None
