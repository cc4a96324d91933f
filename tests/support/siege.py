"""A run under attack: an attacker with valid credentials, and an honest contributor beside him.

Everything of the run is watched: its streams, what is said in the account that holds them, what
the honest one hears. Both contributors publish to the same queue.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

from broker.accounts.access import find_credentials
from broker.accounts.credentials import Credentials
from broker.accounts.rights import Role
from broker.jetstream import NatsBroker
from broker.jetstream.connection import NatsConnection
from broker.jetstream.pull import NatsDelivery
from schemas import names
from tests.support.guarded import RUN, Guarded, actor_of
from tests.support.wire import Heard, Wire

QUEUE, INTAKE = names.rollouts_stream(RUN, "s0"), names.intake_consumer("s0")
MARK = b"made by mallory"
"""In everything that the attacker sends."""
SERVED_S = 10.0
"""The longest that an honest one waits, whatever others do."""
_BUCKET = "KV_weights"
_OWN = ("rollouts.", "lease.", "grant.", "heartbeat.")
# No inboxes: JetStream would take this for whoever waited there, and is gone.
_WATCHED = (
    *(f"{first}>" for first in _OWN),
    *("verdict.>", "policy.>", "trainer.>", "ledger.>", "batches.>", "purge.>", "join.>", "who.>"),
    *("$JS.>", "$KV.>", "$SYS.>"),
)


class Siege:
    """The run's side, the honest contributor, and the credentials of the attacker."""

    def __init__(self, guarded: Guarded, mallory: Credentials, bob: Credentials) -> None:
        self.guarded, self.mallory, self.bob = guarded, mallory, bob
        self.mallory_id, self.bob_id = actor_of(mallory), actor_of(bob)
        self.admin = NatsConnection()
        self.taken: list[tuple[str, bytes]] = []
        """Subjects and data of what was stored in the queue, in order."""
        self.num_rounds = 0
        self.num_announced = 0
        self._honest: set[bytes] = set()
        self._opened = contextlib.AsyncExitStack()
        self._judged: dict[bytes, asyncio.Event] = {}
        self.held: asyncio.Queue[NatsDelivery] | None = None
        """Where the coordinator puts what it takes, without an ack; None: it judges at once."""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Siege"]:
        """Leaves the queue empty."""
        async with self._opened:
            await self._open()
            yield self
            while (await self.coordinator.state(QUEUE)).num_messages:
                await self.work()

    async def _open(self) -> None:
        guarded = self.guarded
        admin = find_credentials(guarded.accounts, Role.ADMIN)
        await self.admin.connect(guarded.url, name="admin", timeout_s=5, credentials=admin)
        self._opened.push_async_callback(self.admin.link.close)
        await self._make_bucket()
        self.coordinator = await guarded.login(Role.COORDINATOR)
        self.trainer = await guarded.login(Role.TRAINER)
        self.honest = await NatsBroker.connect(guarded.url, name="bob", credentials=self.bob)
        for broker in (self.coordinator, self.trainer, self.honest):
            self._opened.push_async_callback(broker.close)
        for pattern in (names.leases_filter(RUN), names.grants_filter(RUN)):
            await self.coordinator.serve(pattern, self._answer)
        self._inboxes = tuple(
            f"{credentials.inbox_prefix}."
            for role in (Role.ADMIN, Role.COORDINATOR, Role.TRAINER)
            if (credentials := find_credentials(guarded.accounts, role, run=RUN))
        )
        self.core = await self.wire(admin)
        for subject in _WATCHED:
            self.core.subscribe(subject)
        self.ear = await self.wire(self.bob)
        for subject in (
            names.verdict_subject(RUN, self.bob_id),
            names.policy_subject(RUN),
            "_INBOX.>",
        ):
            self.ear.subscribe(subject)
        for wire in (self.core, self.ear):
            await wire.settle()
        judging = asyncio.create_task(self._judge())
        self._opened.push_async_callback(asyncio.gather, judging, return_exceptions=True)
        self._opened.callback(judging.cancel)
        # What others have left in the queue, or in hand, is none of the attacker's.
        await self.coordinator.take_back(QUEUE, INTAKE)
        await self.work()
        self.taken.clear()

    async def wire(
        self, credentials: Credentials | None = None, *, port: int = 0, reads: bool = True
    ) -> Wire:
        wire = await Wire.open(port or self.guarded.port, credentials, reads=reads)
        self._opened.push_async_callback(wire.close)
        return wire

    async def attacker(self, *, port: int = 0) -> Wire:
        """A connection of the attacker's, who hears what his rights let him."""
        wire = await self.wire(None if port else self.mallory, port=port)
        wire.subscribe("_INBOX.>")
        await wire.settle()
        assert not wire.refusals
        return wire

    def rollouts_of(self, actor: str, version: int = 1) -> str:
        return names.rollouts_subject(RUN, "s0", (1, version), actor)

    @contextlib.asynccontextmanager
    async def goes_on(self) -> AsyncIterator[None]:
        """Whatever is done in the block, the honest one is served before it, in it and after it;
        the streams stay as they are; and of the attacker nothing is stored or said but under his
        own name."""
        before = await self.sight()
        await self.work()
        over = asyncio.Event()
        working = asyncio.create_task(self._work_until(over))
        try:
            yield
        finally:
            over.set()
            await working
        await self.work()
        assert await self.sight() == before
        for wire in (self.core, self.ear):
            await wire.settle()
        assert [heard for heard in self.core.heard if self._is_strange(heard)] == []
        assert [heard for heard in self.ear.heard if not self._is_for_bob(heard)] == []
        actors = {names.last_token(subject) for subject, _ in self.taken}
        assert actors <= {self.mallory_id, self.bob_id}

    async def work(self) -> None:
        """The honest one asks for a lease, sends a group, and hears the verdict on it."""
        lease = names.lease_subject(RUN, self.bob_id)
        answer = await self.honest.request(lease, b"work?", timeout_s=SERVED_S)
        assert answer == b"answer to " + lease.encode()
        group = secrets.token_bytes(16)
        self._honest.add(group)
        judged = self._judged[group] = asyncio.Event()
        stored = await self.honest.publish(self.rollouts_of(self.bob_id), group, timeout_s=SERVED_S)
        assert (stored.stream, stored.duplicate) == (QUEUE, False)
        async with asyncio.timeout(SERVED_S):
            await judged.wait()
            while not any(heard.data == b"verdict on " + group for heard in self.ear.heard):
                await self.ear.settle()
        self.num_rounds += 1

    async def announce(self, data: bytes = b"") -> None:
        """The trainer announces a policy, and the honest one hears it."""
        announcement = data or secrets.token_bytes(16)
        self._honest.add(announcement)
        stream = names.policies_stream(RUN)
        last = (await self.trainer.state(stream)).last_sequence
        await self.trainer.append(
            stream, names.policy_subject(RUN), announcement, expected_last=last
        )
        self.num_announced += 1
        async with asyncio.timeout(SERVED_S):
            while not any(heard.data == announcement for heard in self.ear.heard):
                await self.ear.settle()

    async def sight(self) -> dict[str, Any]:
        """How every stream and consumer is set up, and what the logs and the bucket hold."""
        sight: dict[str, Any] = {}
        for stream in (await self._ask("STREAM.LIST"))["streams"]:
            config, state = stream["config"], stream["state"]
            sight[config["name"]] = config
            if not config["name"].startswith("ROLLOUTS_"):
                own = self.num_announced * (config["name"] == names.policies_stream(RUN))
                sight[f"end of {config['name']}"] = state["last_seq"] - own
        for consumer in (await self._ask(f"CONSUMER.LIST.{QUEUE}"))["consumers"]:
            sight[f"consumer {consumer['name']}"] = consumer["config"]
        return sight

    async def attackers_groups(self) -> list[tuple[str, bytes]]:
        """What of the attacker was stored, once all that is in the queue has been taken."""
        await self.work()
        return [(subject, data) for subject, data in self.taken if self.mallory_id in subject]

    async def _work_until(self, over: asyncio.Event) -> None:
        while True:
            await self.work()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.02)
            if over.is_set():
                return

    async def _answer(self, subject: str, data: bytes) -> bytes:
        return b"answer to " + subject.encode()

    async def _judge(self) -> None:
        """The coordinator's work: take, ack, tell."""
        while True:
            deliveries = await self.coordinator.pull(
                QUEUE, INTAKE, max_messages=64, max_bytes=8 << 20, timeout_s=5
            )
            if self.held is not None:
                for delivery in deliveries:
                    self.held.put_nowait(delivery)
                continue
            await asyncio.gather(*(delivery.ack() for delivery in deliveries))
            for delivery in deliveries:
                record = delivery.record
                self.taken.append((record.subject, record.data))
                if judged := self._judged.get(record.data):
                    await self.coordinator.notify(
                        names.verdict_subject(RUN, self.bob_id), b"verdict on " + record.data
                    )
                    judged.set()

    def _is_strange(self, heard: Heard) -> bool:
        """Whether this should not have come to where the streams are."""
        if heard.subject.startswith(("$JS.", "$KV.", "$SYS.")):
            by_server = heard.subject.startswith("$JS.EVENT.")
            return not (by_server or heard.reply_to.startswith(self._inboxes))
        if heard.subject.startswith(_OWN) and names.last_token(heard.subject) == self.mallory_id:
            return False
        # PubAcks are what a deputy can be made to send.
        return MARK in heard.data or heard.data.startswith(b'{"stream"')

    def _is_for_bob(self, heard: Heard) -> bool:
        if heard.subject.startswith("_INBOX."):
            return not heard.subject.endswith(".forged")
        return heard.data.removeprefix(b"verdict on ") in self._honest

    async def _ask(self, verb: str) -> dict[str, Any]:
        return json.loads((await self.admin.request(f"$JS.API.{verb}", b"", timeout_s=5)).data)

    async def _make_bucket(self) -> None:
        """Something under $KV to be overwritten, which answers to direct reads, too."""
        config = {"name": _BUCKET, "subjects": ["$KV.weights.>"], "allow_direct": True}
        config |= {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True}
        await self.admin.request(
            f"$JS.API.STREAM.CREATE.{_BUCKET}", json.dumps(config).encode(), timeout_s=5
        )
        await self.admin.request("$KV.weights.latest", b"7", timeout_s=5)
