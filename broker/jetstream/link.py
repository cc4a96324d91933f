"""The link to a NATS server, on nats-py: made again for ever, never silent about a failure.

nats-py on its own lets a denied publish and a lost connection look like a timeout, and buffers what
is sent while the server is away, so that it is sent after its sender has given up. Here whoever
sends waits for the server, within his own time, and what the server refuses or loses is told.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import nats.errors
import structlog
from nats.aio.client import Server
from nats.aio.msg import Msg
from nats.aio.subscription import DEFAULT_SUB_PENDING_BYTES_LIMIT, Subscription

from broker.accounts.credentials import Credentials
from broker.jetstream import dialing
from broker.jetstream.client import HearingClient, Take
from broker.jetstream.url import each_url, is_refusal, no_answer
from schemas.errors import (
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    NotLetIn,
    PermissionDenied,
)

PING_INTERVAL_S = 10
MAX_OUTSTANDING_PINGS = 2
RECONNECT_WAIT_S = 0.5
_STALE_AFTER_S = PING_INTERVAL_S * (MAX_OUTSTANDING_PINGS + 1)
"""When nats-py gives up a connection whose server does not answer its PINGs."""
_HEADER_ALLOWANCE_BYTES = 512
"""Our headers count towards the server's limit, and nats-py does not check them."""
_DENIED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"')


class ServerName(NamedTuple):
    """A nats-server's name and version."""

    name: str
    version: str


class Link:
    """Messages and subscriptions over one connection that is made again for ever."""

    def __init__(
        self, *, on_denied: Callable[[str], None], on_lost: Callable[[BrokerError], None]
    ) -> None:
        """`on_denied` is given a subject, in lower case, that the server has refused; `on_lost` why
        no answer to what was sent so far can come any more."""
        self._client = HearingClient()
        self._on_denied = on_denied
        self._on_lost = on_lost
        self._connected = asyncio.Event()
        self._closing = False
        self._denied: set[str] = set()
        self._subscriptions: set[Subscription] = set()
        self._flushes: set[asyncio.Task[bool]] = set()
        self._last_error: Exception | None = None
        self._refusals_left = -1
        """While it connects for the first time: how many servers may still let us in."""

    async def connect(
        self,
        url: str,
        *,
        name: str,
        timeout_s: float,
        credentials: Credentials | None = None,
        tls_ca: str = "",
    ) -> None:
        """Connect to the server, or to any node of a cluster, and reconnect for ever.

        `tls_ca` is the PEM of who signed the server's certificate, where it is nobody whom this
        machine trusts anyway.

        Raises:
            ServerMissing: no server lets us in within the time given.
            UserError: the URL is none of a NATS server, or of a kind that is not installed here.
        """
        servers = each_url(url)
        dialing.check_installed(servers)
        self._client.must_encrypt = dialing.must_encrypt(servers, tls_ca)
        self._refusals_left = len(servers)
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.connect(
                    servers,
                    name=name,
                    max_reconnect_attempts=-1,
                    # No bound on what waits to be written: at one, nats-py waits for a writer that
                    # may be gone, and is not to be cancelled. And nothing is kept for later.
                    pending_size=0,
                    reconnect_time_wait=RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType]
                    reconnect_to_server_handler=_choose_server,
                    ping_interval=PING_INTERVAL_S,
                    max_outstanding_pings=MAX_OUTSTANDING_PINGS,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                    **dialing.login(credentials),
                    **dialing.trust(tls_ca),
                )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            await self._client.close()
            reason = self._last_error or error
            raise no_answer(url, reason, timeout_s=timeout_s) from None
        self._refusals_left = -1
        self._connected.set()

    @property
    def connected(self) -> bool:
        return self._connected.is_set() and self._client.is_connected

    @property
    def max_message_bytes(self) -> int:
        """What the server takes beside our headers."""
        return self._client.max_payload - _HEADER_ALLOWANCE_BYTES

    @property
    def server(self) -> ServerName:
        """Which server this is, as it says itself to every client."""
        said = self._client._server_info
        return ServerName(said.get("server_name", ""), said.get("version", ""))

    @property
    def closing(self) -> bool:
        """Whether this process has closed the connection."""
        return self._closing

    async def wait_connected(self, deadline: float) -> None:
        """Raises BrokerUnavailable when the server is not back in time.

        Raises BrokerError when the connection is closed: by us, or for good by the server; NotLetIn
        when that is because the user was revoked.
        """
        if self._client.is_reconnecting:
            self._connected.clear()  # nats-py says so a moment later
        if not self._connected.is_set():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._connected.wait()
            except TimeoutError:
                raise BrokerUnavailable("the server is away") from None
        if self._closing:
            raise BrokerError("the connection is closed")
        if self._client.is_closed:
            raise self._closed_by_server()

    def new_inbox(self) -> str:
        """A subject that nobody else knows."""
        return self._client.new_inbox()

    async def send(self, subject: str, data: bytes, *, timeout_s: float = 5.0) -> None:
        """Publish without an answer.

        Raises:
            BrokerUnavailable, MessageTooLarge
        """
        await self.wait_connected(asyncio.get_running_loop().time() + timeout_s)
        await self.put(subject, data)

    async def put(
        self,
        subject: str,
        data: bytes,
        *,
        reply_to: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Hand a message to the server that is connected.

        Raises:
            BrokerUnavailable, MessageTooLarge
        """
        if len(data) > self.max_message_bytes:
            raise MessageTooLarge(f"{len(data)} bytes, the server takes {self.max_message_bytes}")
        try:
            await self._client.publish(
                subject, data, reply=reply_to, headers=dict(headers) if headers else None
            )
        except (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError) as error:
            raise BrokerUnavailable(str(error)) from None

    async def subscribe(
        self, subject: str, *, take: Take | None = None, timeout_s: float = 5.0
    ) -> Subscription:
        """Subscribe, and return when the server knows of it.

        With `take` each message is given to it at once, otherwise the subscription keeps them.

        Raises:
            BrokerUnavailable, PermissionDenied
        """
        await self.wait_connected(asyncio.get_running_loop().time() + timeout_s)
        self._denied.discard(subject.lower())
        subscription = await self.listen(subject)
        if take:
            # The client reads on when this task waits for the first time: nothing is missed.
            self._client.takers[subscription._id] = take
        try:
            await self._confirm(timeout_s)
            if subject.lower() in self._denied:
                raise PermissionDenied(subject, to="subscribe to")
        except BaseException:
            # Or the server would go on to see somebody there, who never answers.
            await self.unsubscribe(subscription)
            raise
        return subscription

    async def listen(
        self,
        subject: str,
        *,
        cb: Callable[[Msg], Awaitable[None]] | None = None,
        pending_bytes_limit: int = DEFAULT_SUB_PENDING_BYTES_LIMIT,
    ) -> Subscription:
        """Subscribe, without waiting for the server to know of it.

        Raises:
            BrokerUnavailable: the link is closed.
        """
        try:
            subscription = await self._client.subscribe(
                subject, cb=cb, pending_bytes_limit=pending_bytes_limit
            )
        except (nats.errors.ConnectionClosedError, nats.errors.ConnectionDrainingError) as error:
            raise BrokerUnavailable(str(error)) from None
        self._subscriptions.add(subscription)
        return subscription

    async def _confirm(self, timeout_s: float) -> None:
        """Return when the server has seen all that was sent so far.

        Raises:
            BrokerUnavailable: it has not said so in time, or the connection was lost.
        """
        flushing = asyncio.create_task(self._flush())
        self._flushes.add(flushing)
        flushing.add_done_callback(self._flushes.discard)
        # On time-out it goes on: see `_flush`.
        await asyncio.wait([flushing], timeout=timeout_s)
        if not flushing.done():
            raise BrokerUnavailable("the server does not answer")
        if flushing.cancelled() or not flushing.result():
            raise BrokerUnavailable("the connection to the server was lost")

    async def _flush(self) -> bool:
        """Wait for two PONGs; True when they came. Ended early only when the connection is lost.

        A PONG that nobody waits for any more ends nats-py's reading, and leaves the connection deaf
        until it is given up as stale. The first PING overtakes what nats-py still buffers, the
        second comes behind it.
        """
        with contextlib.suppress(nats.errors.Error):
            for _ in range(2):
                await self._client.flush(timeout=2 * _STALE_AFTER_S)
            return True
        return False

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Give up a subscription, which ends; does nothing when the connection is closed."""
        self._subscriptions.discard(subscription)
        self._client.takers.pop(subscription._id, None)
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()

    async def close(self) -> None:
        """Send what is on its way, and close. Open questions fail, subscriptions end."""
        self._closing = True
        self._connected.set()  # whoever waits for the server looks again
        if self._client.is_connected:
            with contextlib.suppress(BrokerUnavailable):
                await self._confirm(2)
        for subscription in list(self._subscriptions):
            await self.unsubscribe(subscription)
        # nats-py raises, and leaves the rest undone, when it had something left for a dead server.
        with contextlib.suppress(OSError):
            await self._client.close()
        self._lose(BrokerError("the connection is closed"))

    async def _on_error(self, error: Exception) -> None:
        # What the server says is the cause; that it then hangs up is not.
        if not is_refusal(self._last_error):
            self._last_error = error
        if self._refusals_left > 0 and is_refusal(error):
            self._refusals_left -= 1
            if self._refusals_left == 0:
                # None of the servers lets us in, and waiting helps nobody: this ends `connect`.
                raise error
        # The server names the subject; nats-py has put it in lower case.
        if denied := _DENIED.search(str(error).lower()):
            self._denied.add(denied[1])
            self._on_denied(denied[1])
        if isinstance(error, nats.errors.SlowConsumerError):
            structlog.get_logger().warning("messages_dropped", subject=error.subject)
        structlog.get_logger().debug("nats_error", error=str(error) or type(error).__name__)

    async def _on_disconnect(self) -> None:
        if self._client.is_closed:  # for good; whoever waits for the server looks again
            self._connected.set()
            if not self._closing:
                self._lose(self._closed_by_server())
        else:
            self._connected.clear()
            self._lose(BrokerUnavailable("the connection to the server was lost"))

    def _closed_by_server(self) -> BrokerError:
        """Why nothing comes any more, once the connection is closed for good."""
        why = self._client.last_error
        kind = NotLetIn if is_refusal(why) else BrokerError
        return kind(f"the server has closed the connection: {why}")

    async def _on_reconnect(self) -> None:
        self._connected.set()

    def _lose(self, error: BrokerError) -> None:
        for flushing in self._flushes:
            flushing.cancel()
        self._on_lost(error)


def _choose_server(servers: list[Server], info: object) -> tuple[Server, float]:
    """Any of the servers, after a wait with jitter so that a swarm does not come back at once."""
    return random.choice(servers), random.uniform(0.5, 1.5) * RECONNECT_WAIT_S
