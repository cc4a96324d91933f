"""Questions over a link to a NATS server: every way to fail is an answer at once.

Every question knows its inbox: what the server refuses, and that the link was lost, are put into
the inboxes that they concern. A question asked while the server is away waits for it, within its
own time.
"""

import asyncio
import itertools
from collections.abc import Mapping

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from broker.accounts.credentials import Credentials
from broker.jetstream.inbox import Inbox, status
from broker.jetstream.link import Link
from schemas.errors import BrokerError, NoResponders, PermissionDenied


class NatsConnection:
    """Asks, and gives each answer to its asker."""

    def __init__(self) -> None:
        self.link = Link(on_denied=self._deny, on_lost=self._lose)
        self._inboxes: set[Inbox] = set()
        self._by_subject: dict[str, Inbox] = {}
        self._counter = itertools.count()
        self._prefix = ""

    async def connect(
        self,
        url: str,
        *,
        name: str,
        timeout_s: float,
        credentials: Credentials | None = None,
        tls_ca: str = "",
    ) -> None:
        """Connect, and reconnect for ever; see `Link.connect`."""
        await self.link.connect(
            url, name=name, timeout_s=timeout_s, credentials=credentials, tls_ca=tls_ca
        )
        self._prefix = self.link.new_inbox()
        await self.link.listen(f"{self._prefix}.*", cb=self._on_answer)

    async def request(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Ask a question that has one answer.

        Raises:
            NoResponders, BrokerUnavailable, PermissionDenied, MessageTooLarge
        """
        reply_to = f"{self._prefix}.{next(self._counter)}"
        inbox = await self._open(subject, timeout_s)
        self._by_subject[reply_to] = inbox
        try:
            await self.link.put(subject, data, reply_to=reply_to, headers=headers)
            answer = await inbox.next()
        finally:
            self._inboxes.discard(inbox)
            del self._by_subject[reply_to]
        if status(answer) == 503:
            raise NoResponders(f"nobody serves {subject}")
        return answer

    def ask(self, subject: str, data: bytes, *, timeout_s: float) -> "Asking":
        """Ask a question that has many answers: `async with` gives the inbox where they arrive.

        Raises, on entry:
            BrokerUnavailable, MessageTooLarge
        """
        return Asking(self, subject, data, timeout_s)

    async def _begin(
        self, subject: str, data: bytes, timeout_s: float
    ) -> tuple[Inbox, Subscription]:
        reply_to = self.link.new_inbox()
        inbox = await self._open(subject, timeout_s)

        async def put(message: Msg) -> None:
            inbox.queue.put_nowait(message)

        subscription = None
        try:
            # Unbounded on our side: the asker bounds the answer in bytes in the question itself.
            subscription = await self.link.listen(reply_to, cb=put, pending_bytes_limit=0)
            await self.link.put(subject, data, reply_to=reply_to)
        except BaseException:
            await self._end(inbox, subscription)
            raise
        return inbox, subscription

    async def _end(self, inbox: Inbox, subscription: Subscription | None) -> None:
        self._inboxes.discard(inbox)
        if subscription is not None:
            await self.link.unsubscribe(subscription)

    async def _open(self, asked: str, timeout_s: float) -> Inbox:
        inbox = Inbox(asked, asyncio.get_running_loop().time() + timeout_s)
        await self.link.wait_connected(inbox.deadline)
        self._inboxes.add(inbox)
        return inbox

    async def _on_answer(self, message: Msg) -> None:
        if inbox := self._by_subject.get(message.subject):
            inbox.queue.put_nowait(message)

    def _deny(self, subject: str) -> None:
        for inbox in self._inboxes:
            if inbox.asked.lower() == subject:
                inbox.queue.put_nowait(PermissionDenied(inbox.asked))

    def _lose(self, error: BrokerError) -> None:
        for inbox in self._inboxes:
            inbox.queue.put_nowait(type(error)(*error.args))


class Asking:
    """One question with many answers; what comes after the block is dropped.

    A class and no generator: when an event loop ends, it closes the generators that are left in any
    order, and one that is closed before the generator around it swallows that one's end.
    """

    def __init__(
        self, connection: NatsConnection, subject: str, data: bytes, timeout_s: float
    ) -> None:
        self._connection = connection
        self._question = subject, data, timeout_s

    async def __aenter__(self) -> Inbox:
        self._inbox, self._subscription = await self._connection._begin(*self._question)
        return self._inbox

    async def __aexit__(self, *_: object) -> None:
        await self._connection._end(self._inbox, self._subscription)
