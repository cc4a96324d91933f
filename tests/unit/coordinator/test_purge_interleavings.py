"""Random interleavings of arrivals, rounds, purges and crashes, dense in purges: each message has a
verdict, or was purged, or is in the queue, at every instant; and what was purged is what was asked.

A failure prints the seed and the shortest sequence of steps that leads to it.
"""

import asyncio
import contextlib
from collections import deque
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.audit import audit_run
from broker.logbook import read_log
from broker.memory import MemoryBroker
from broker.subjects import matches
from learner.coordinator.case import Case
from schemas import ledger, names
from schemas.errors import QueueFull
from schemas.policy import PolicyId
from schemas.purge import PurgeReason, PurgeReply, QueueMark
from tests.support.coordinators import DrivenCoordinator, World

ACTORS = st.sampled_from(("ALICE", "BOB"))
POLICIES = st.sampled_from((PolicyId(1, 0), PolicyId(1, 1)))
MAYBE_ALL = st.one_of(st.none(), ACTORS)
CRASHES = st.sampled_from(("nowhere", "begun", "gone", "told"))


class PurgeInterleavings(RuleBasedStateMachine):
    """A queue of noise: each message is refused, or purged before that."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 1000.0
        self.world = World(clock=lambda: self.now, wall_clock=lambda: self.now)
        self.num_coordinators = 0
        self.num_sent = 0
        self.subjects: dict[int, str] = {}
        """By sequence."""
        self.in_flight: deque[list[Case]] = deque()

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        self.loop.close()

    @initialize()
    def open(self) -> None:
        self.run(self.world.open())
        self.run(self.world.announce(PolicyId(1, 0)))
        self.start()

    def start(self) -> None:
        """SIGKILL, and another coordinator, which is given all that is unacked."""
        self.num_coordinators += 1
        self.coordinator = DrivenCoordinator(self.world, f"c{self.num_coordinators}")
        self.run(self.coordinator.start())
        self.in_flight.clear()
        self.now += 31.0

    @rule(actor=ACTORS, policy=POLICIES, num_sent=st.integers(1, 4), num_judged=st.integers(0, 5))
    def arrive(self, actor: str, policy: PolicyId, num_sent: int, num_judged: int) -> None:
        """Some come; of those that are there, some are taken in hand and judged."""
        for _ in range(num_sent):
            self.send(actor, policy)
        if num_judged:
            intake = self.coordinator.intake
            deliveries = self.run(intake.hand.pull(max_messages=num_judged, timeout_s=0.0))
            self.in_flight.append(self.run(intake.judging.judge(deliveries)))

    def send(self, actor: str, policy: PolicyId) -> None:
        self.num_sent += 1
        subject = names.rollouts_subject("test", "s0", policy, actor)
        data = f"noise {self.num_sent}".encode()
        with contextlib.suppress(QueueFull):  # A subject holds so many.
            stored = self.run(MemoryBroker(self.world.server).publish(subject, data))
            self.subjects[stored.sequence] = subject

    @rule()
    def write(self) -> None:
        if self.in_flight:
            self.run(self.coordinator.intake.writer.write(self.in_flight.popleft()))

    @rule()
    def write_and_die(self) -> None:
        """The verdicts are in the ledger, and nothing has left the queue."""
        if self.in_flight:
            self.coordinator.intake.hand.release = _dies
            with contextlib.suppress(asyncio.CancelledError):
                self.write()
            self.start()

    @rule(
        actor=MAYBE_ALL, policy=st.one_of(st.none(), POLICIES), crash=CRASHES, looks=st.booleans()
    )
    def purge(self, actor: str | None, policy: PolicyId | None, crash: str, looks: bool) -> None:
        """With or without a look before it, behind which something comes and something goes."""
        asked = {"actor": actor, "policy": policy}
        looked = self.run(self.coordinator.purge(**asked, dry_run=True)).queues[0]
        if looks:
            self.send(actor or "ALICE", policy or PolicyId(1, 0))
            self.write()
            asked["marks"] = (QueueMark(shard="s0", through=looked.through),)
        if crash != "nowhere":
            self.die_in_purge(crash, **asked)
            return
        (purged,) = self.run(self.coordinator.purge(**asked)).queues
        assert purged.num_messages <= looked.num_messages
        assert purged.through == looked.through

    def die_in_purge(self, crash: str, **asked: Any) -> None:
        """The beginning is written; the queue has removed it; the end is written, unheard."""
        broker = self.coordinator.broker
        append, purge = broker.append, broker.purge
        calls = 0

        async def dying_append(*args: Any, **kwargs: Any) -> int:
            nonlocal calls
            calls += 1
            sequence = await append(*args, **kwargs)
            if (crash, calls) in (("begun", 1), ("told", 2)):
                raise asyncio.CancelledError
            return sequence

        async def dying_purge(*args: Any, **kwargs: Any) -> None:
            await purge(*args, **kwargs)
            if crash == "gone":
                raise asyncio.CancelledError

        broker.append, broker.purge = dying_append, dying_purge
        with contextlib.suppress(asyncio.CancelledError):
            self.run(self.coordinator.purge(**asked))
        self.nothing_is_lost()
        self.start()

    @rule(actor=ACTORS)
    def cut_off(self, actor: str) -> None:
        reply: PurgeReply = self.run(
            self.coordinator.purge(actor=actor, reason=PurgeReason.CUT_OFF)
        )
        assert not reply.detail
        assert self.coordinator.log.state.is_cut_off(actor)

    @rule(actor=ACTORS)
    def let_in(self, actor: str) -> None:
        self.run(self.coordinator.let_in(actor))
        assert not self.coordinator.log.state.is_cut_off(actor)

    @invariant()
    def nothing_is_lost(self) -> None:
        report = self.run(audit_run(self.world.broker, "test"))
        assert report.holds, report
        assert report.num_reused_sequences == 0, "what was purged has been judged as well"

    @invariant()
    def only_what_was_asked_for_is_purged(self) -> None:
        begun: dict[int, ledger.PurgeBegun] = {}
        for event in self.run(_events(self.world)):
            if isinstance(event, ledger.PurgeBegun):
                begun[event.purge] = event
            elif isinstance(event, ledger.MessagesPurged):
                for first, last in event.spans:
                    for sequence in range(first, last + 1):
                        assert matches(begun[event.purge].subject, self.subjects[sequence])


async def _dies(*_: Any) -> None:
    raise asyncio.CancelledError


async def _events(world: World) -> list[ledger.LedgerEvent]:
    found: list[ledger.LedgerEvent] = []
    async for item in read_log(world.broker, "test"):
        if isinstance(item.content, ledger.LedgerEntry):
            found += item.content.events
    return found


TestPurgeInterleavings = PurgeInterleavings.TestCase
TestPurgeInterleavings.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
