"""The message broker on NATS JetStream.

Every question goes through `broker.jetstream.connection`, so that each way to fail is an error of
our tree at once. Logs are read through their leader, which never answers with less than was stored.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Mapping
from typing import TypeVar

import structlog
from msgspec import Struct
from nats.aio.subscription import Subscription

from broker import retry
from broker.accounts.credentials import Credentials
from broker.fence import WrongLastSequence, append_id, settle
from broker.interface import ConsumerState, Handler, Record, Stored, StreamSpec, StreamState
from broker.jetstream import api, config, told
from broker.jetstream.client import Take
from broker.jetstream.connection import NatsConnection
from broker.jetstream.follow import follow
from broker.jetstream.pull import NatsDelivery, pull
from broker.parallel import run_all
from broker.turnstile import Turnstile
from schemas.errors import BrokerError, BrokerUnavailable, NoResponders
from schemas.wire import sha256_hex

_READ_AHEAD = 16
"""Records asked for at once by `read`."""
_ASIDE_BYTES = 128 << 10
"""From here on the digest of a message is worked out beside the event loop, which sends others
meanwhile: it takes a millisecond a MiB."""
_INBOXES = ("_INBOX.", "_R_.")
"""Beginnings of the subjects that answers go to: in this account, and in others."""
_SILENT_STORE = "if this goes on, its disk is full or was: make room, then restart nats-server"

T = TypeVar("T")


class NatsBroker:
    """A connection to nats-server; see `broker.interface.Broker`."""

    def __init__(self, connection: NatsConnection, credentials: Credentials | None = None) -> None:
        """`credentials` are those that the connection has logged in with."""
        self._connection = connection
        self._message_id = credentials.message_id if credentials else sha256_hex
        self._serving: list[tuple[Subscription, Turnstile]] = []

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str,
        connect_timeout_s: float = 5.0,
        credentials: Credentials | None = None,
        tls_ca: str = "",
    ) -> "NatsBroker":
        """Connect; `name` is what the server's monitoring shows.

        Raises:
            ServerMissing: no server lets us in within the time given.
        """
        connection = NatsConnection()
        await connection.connect(
            url,
            name=name,
            timeout_s=connect_timeout_s,
            credentials=credentials,
            tls_ca=tls_ca,
        )
        return cls(connection, credentials)

    @property
    def connected(self) -> bool:
        return self._connection.link.connected

    @property
    def max_message_bytes(self) -> int:
        return self._connection.link.max_message_bytes

    async def ensure_stream(self, spec: StreamSpec, *, first_sequence: int = 1) -> None:
        wanted = config.stream_config(spec)
        try:
            made = config.new_stream(wanted, first_sequence)
            await self._api(f"STREAM.CREATE.{spec.name}", made, api.ErrorReply)
        except api.Differs:
            info = await self._api(f"STREAM.INFO.{spec.name}", None, api.StreamInfo)
            config.check_equal(f"stream {spec.name}", info.config, wanted)
        if spec.consumer:
            await self._ensure_consumer(spec)

    async def _ensure_consumer(self, spec: StreamSpec) -> None:
        wanted = config.consumer_config(spec)
        where = f"{spec.name}.{spec.consumer}"
        create = api.ConsumerCreate(stream_name=spec.name, config=wanted)
        try:
            await self._api(f"CONSUMER.CREATE.{where}", create, api.ErrorReply)
        except api.Differs:
            info = await self._api(f"CONSUMER.INFO.{where}", None, api.ConsumerInfo)
            config.check_equal(f"consumer {spec.consumer}", info.config, wanted)

    async def remove_stream(self, stream: str) -> None:
        await self._api(f"STREAM.DELETE.{stream}", None, api.ErrorReply)

    async def state(self, stream: str) -> StreamState:
        return await told.state(self._connection, stream)

    async def streams(self) -> list[str]:
        return await told.stream_names(self._connection)

    async def spec(self, stream: str) -> StreamSpec:
        return await told.spec(self._connection, stream)

    async def subjects(self, stream: str, pattern: str = ">") -> dict[str, int]:
        return await told.subjects(self._connection, stream, pattern)

    async def consumers(self, stream: str) -> list[ConsumerState]:
        return await told.consumers(self._connection, stream)

    async def publish(self, subject: str, data: bytes, *, timeout_s: float = 5.0) -> Stored:
        headers = {"Nats-Msg-Id": await self._identify(data)}
        return await self._store(subject, data, headers, timeout_s)

    async def _identify(self, data: bytes) -> str:
        if len(data) < _ASIDE_BYTES:
            return self._message_id(data)
        return await asyncio.to_thread(self._message_id, data)

    async def _store(
        self, subject: str, data: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Stored:
        try:
            answer = await self._connection.request(
                subject, data, timeout_s=timeout_s, headers=headers
            )
        except NoResponders:
            raise BrokerUnavailable(f"no stream stores {subject}, or it has no leader") from None
        ack = api.decode(answer, subject, api.PubAck)
        return Stored(stream=ack.stream, sequence=ack.seq, duplicate=ack.duplicate)

    async def pull(
        self, stream: str, consumer: str, *, max_messages: int, max_bytes: int, timeout_s: float
    ) -> list[NatsDelivery]:
        try:
            return await pull(
                self._connection,
                stream,
                consumer,
                max_messages=max_messages,
                max_bytes=max_bytes,
                timeout_s=timeout_s,
            )
        except NoResponders:
            # Nobody serves a consumer that does not exist; this says so, or the server is starting.
            await self._api(f"CONSUMER.INFO.{stream}.{consumer}", None, api.ConsumerInfo)
            raise BrokerUnavailable(f"{stream} has no leader") from None

    async def purge(self, stream: str, *, before: int, pattern: str = ">") -> None:
        # With a filter of its own, the server would look at each message.
        only = "" if pattern == ">" else pattern
        request = api.PurgeRequest(seq=before, filter=only)
        await self._api(f"STREAM.PURGE.{stream}", request, api.ErrorReply)

    async def missing(self, stream: str, *, first: int, last: int) -> set[int]:
        request = api.DetailsRequest(deleted_details=True)
        state = (await self._api(f"STREAM.INFO.{stream}", request, api.StreamDetails)).state
        begins = state.first_seq if state.messages else state.last_seq + 1
        gone = {sequence for sequence in state.deleted if first <= sequence <= last}
        gone.update(range(first, min(begins, last + 1)))
        gone.update(range(max(state.last_seq + 1, first), last + 1))
        return gone

    async def take_back(self, stream: str, consumer: str) -> None:
        # It begins again behind the last message before which all are acked; what is acked behind
        # that one has left the queue.
        await self._api(f"CONSUMER.RESET.{stream}.{consumer}", None, api.ErrorReply)

    async def append(
        self, stream: str, subject: str, data: bytes, *, expected_last: int, timeout_s: float = 10.0
    ) -> int:
        headers = {
            "Nats-Msg-Id": append_id(data, expected_last),
            "Nats-Expected-Stream": stream,
            "Nats-Expected-Last-Sequence": str(expected_last),
        }
        refused = False
        try:
            stored = await self._store(subject, data, headers, timeout_s)
            if not stored.duplicate:
                return stored.sequence
        except WrongLastSequence:
            refused = True
        except BrokerUnavailable as error:
            structlog.get_logger().warning(
                "append_unconfirmed",
                stream=stream,
                reason=str(error),
                advice=_SILENT_STORE if self.connected else "",
            )
        tail = api.GetRequest(seq=expected_last + 1)
        found = await self._get(stream, tail, timeout_s=min(timeout_s, api.CALL_TIMEOUT_S))
        return settle(
            stream, subject, data, expected_last=expected_last, found=found, refused=refused
        )

    async def read(
        self, stream: str, *, first: int = 1, last: int | None = None
    ) -> AsyncGenerator[Record]:
        state = await self.state(stream)
        end = state.last_sequence if last is None else min(last, state.last_sequence)
        for start in range(max(first, state.first_sequence), end + 1, _READ_AHEAD):
            sequences = range(start, min(start + _READ_AHEAD, end + 1))
            jobs = [functools.partial(self.get, stream, sequence) for sequence in sequences]
            for record in await run_all(jobs, at_once=_READ_AHEAD):
                if record is not None:
                    yield record

    def follow(
        self, stream: str, *, first: int = 1, subject: str | None = None
    ) -> AsyncGenerator[Record]:
        return follow(self._connection, stream, first=first, subject=subject)

    async def last(self, stream: str, subject: str) -> Record | None:
        return await self._get(stream, api.GetRequest(last_by_subj=subject))

    async def get(self, stream: str, sequence: int) -> Record | None:
        return await self._get(stream, api.GetRequest(seq=sequence))

    async def _get(
        self, stream: str, request: api.GetRequest, timeout_s: float = api.CALL_TIMEOUT_S
    ) -> Record | None:
        verb = f"STREAM.MSG.GET.{stream}"
        try:
            reply = await api.call(self._connection, verb, request, api.GetReply, timeout_s)
        except api.NoMessage:
            return None
        message = reply.message
        return Record(
            stream=stream,
            sequence=message.seq,
            subject=message.subject,
            data=message.data,
            time=message.time.timestamp(),
        )

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        return (await self._connection.request(subject, data, timeout_s=timeout_s)).data

    async def serve(self, subject: str, handler: Handler) -> None:
        turnstile = Turnstile()

        def take(subject: str, reply_to: str, data: bytes) -> None:
            async def answer() -> None:
                await self._connection.link.send(reply_to, await handler(subject, data))

            # To any other subject the answer would be a message of ours that a stranger has placed.
            if reply_to.startswith(_INBOXES):
                turnstile.let_in(subject, answer)

        self._serving.append((await self._subscribe(subject, take=take), turnstile))

    async def notify(self, subject: str, data: bytes) -> None:
        await self._connection.link.send(subject, data)

    def listen(self, subject: str) -> AsyncGenerator[tuple[str, bytes]]:
        # Subscribed by the call, not by the first step of the iterator.
        return self._listen(asyncio.create_task(self._subscribe(subject)))

    async def _subscribe(self, subject: str, *, take: Take | None = None) -> Subscription:
        """Raises PermissionDenied; a server that is away is waited for."""
        return await retry.until_available()(self._connection.link.subscribe, subject, take=take)

    async def _listen(
        self, subscribing: asyncio.Task[Subscription]
    ) -> AsyncGenerator[tuple[str, bytes]]:
        try:
            subscription = await subscribing
        except BrokerError:
            if self._connection.link.closing:
                return
            raise
        try:
            async for message in subscription.messages:
                yield message.subject, message.data
        finally:
            await self._connection.link.unsubscribe(subscription)

    async def close(self) -> None:
        # Before the connection closes, so that the next request finds nobody at once.
        for subscription, _ in self._serving:
            await self._connection.link.unsubscribe(subscription)
        for _, turnstile in self._serving:
            await turnstile.close()
        await self._connection.link.close()

    async def _api(self, verb: str, request: Struct | None, kind: type[T]) -> T:
        return await api.call(self._connection, verb, request, kind)
