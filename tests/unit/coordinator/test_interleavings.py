"""Random interleavings of leases, deliveries, duplicates, lies, expiries, crashes, take-overs and
incarnations: promises 1 to 3 hold after every step, what was in time is not late, and a restarted
coordinator is where the old one was.

A failure prints the seed and the shortest sequence of steps that leads to it.
"""

import asyncio
import contextlib
from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.audit import AuditReport, audit_run
from broker.memory import MemoryBroker
from learner.coordinator.case import Case
from schemas import ledger, names
from schemas.batch import Batch
from schemas.errors import Fenced, QueueFull
from schemas.lease import Lease
from schemas.policy import PolicyId
from schemas.purge import PurgeReason
from schemas.verdict import Outcome
from schemas.wire import decode, encode
from tests.support.coordinators import DrivenCoordinator, World, make_request, manifest_of
from tests.support.groups import make_group

ACTORS = ("ALICE", "BOB", "CAROL")
LEASE_LIFETIME_S = 60.0


class Interleavings(RuleBasedStateMachine):
    """One run over the in-memory twins, with everybody's mischief as rules."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 1000.0
        self.world = World(clock=lambda: self.now, wall_clock=lambda: self.now)
        self.num_requests = 0
        self.num_coordinators = 0
        self.leases: list[Lease] = []
        self.published: list[tuple[str, bytes]] = []
        self.stored_at: dict[int, float] = {}
        """By sequence."""
        self.replaced: DrivenCoordinator | None = None
        self.in_flight: deque[list[Case]] = deque()
        """Rounds that are judged and not yet written."""

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        self.loop.close()

    @initialize()
    def open(self) -> None:
        self.run(self.world.open())
        self.run(self.world.announce(PolicyId(1, 0)))
        self.restart()

    # The coordinator

    @rule()
    def restart(self) -> None:
        """SIGKILL at a point between two awaits, and a start."""
        old = getattr(self, "coordinator", None)
        self.start_another()
        if old is not None:
            self.replaced = old
            assert self.coordinator.log.state == old.log.state

    def start_another(self) -> None:
        self.num_coordinators += 1
        self.coordinator = DrivenCoordinator(self.world, f"c{self.num_coordinators}")
        self.run(self.coordinator.start())
        self.in_flight.clear()
        # What the old one had in hand comes again after the ack wait.
        self.now += 31.0

    @rule()
    def frozen_one_wakes_up(self) -> None:
        """A replaced coordinator that still thinks it holds the log writes nothing."""
        if self.replaced is None:
            return
        try:
            self.run(self.replaced.log.append([ledger.LeaseExpired(lease_id=0)]))
        except Fenced:
            self.replaced = None
        else:
            raise AssertionError("a replaced coordinator wrote to the log")

    @rule(max_messages=st.integers(1, 4))
    def judge(self, max_messages: int) -> None:
        """One round, while those before it may still have to be written."""
        intake = self.coordinator.intake
        deliveries = self.run(intake.hand.pull(max_messages=max_messages, timeout_s=0.0))
        self.in_flight.append(self.run(intake.judging.judge(deliveries)))

    @rule()
    def write(self) -> None:
        if self.in_flight:
            self.run(self.coordinator.intake.writer.write(self.in_flight.popleft()))

    @rule(max_messages=st.integers(1, 8))
    def judge_and_write(self, max_messages: int) -> None:
        self.judge(max_messages)
        self.write_all()

    def write_all(self) -> None:
        while self.in_flight:
            self.write()

    @rule(where=st.integers(1, 3))
    def crash_in_round(self, where: int) -> None:
        """A round whose n-th write or ack never gets an answer, and then a new coordinator."""
        self.write_all()
        broker = self.coordinator.broker
        calls = 0

        async def dies(*_args: Any, **_kwargs: Any) -> Any:
            raise asyncio.CancelledError

        original = broker.append

        async def append(*args: Any, **kwargs: Any) -> int:
            nonlocal calls
            calls += 1
            if where == 1:
                raise asyncio.CancelledError  # Before the entry.
            sequence = await original(*args, **kwargs)
            if where == 2:
                raise asyncio.CancelledError  # After the entry, before anyone knows.
            return sequence

        broker.append = append  # type: ignore[method-assign]
        if where == 3:
            self.coordinator.intake.hand.release = dies  # type: ignore[method-assign]
        with contextlib.suppress(asyncio.CancelledError):
            self.run(self.coordinator.round(4))
        self.start_another()

    @rule()
    def drain(self) -> None:
        """With nobody publishing, everything gets a verdict and leaves the queue."""
        self.write_all()
        self.now += 31.0
        while self.run(self.coordinator.round(8)):
            pass
        assert self.run(self.world.broker.state("ROLLOUTS_test_s0")).num_messages == 0

    @rule(steps=st.integers(1, 5))
    def go_on(self, steps: int) -> None:
        """Some undisturbed steps, so that what is left lying grows old."""
        for _ in range(steps):
            policy = self.world.announced[-1]
            for actor in ("DAVE", "ERIN"):
                self.num_requests += 1
                request = make_request(actor, f"r{self.num_requests}", wanted=1)
                for lease in self.run(self.coordinator.lease(request)).leases:
                    self.answer(lease, policy, (True, False))
            self.judge_and_write(8)
            self.cut()
            self.train()

    @rule(data=st.data())
    def slow_actor(self, data: st.DataObject) -> None:
        """An honest answer with the oldest policy that the lease allows, whenever that was."""
        if self.coordinator.log.state.open_leases:
            issued = data.draw(st.sampled_from([*self.coordinator.log.state.open_leases.values()]))
            self.answer_late(issued.lease)

    @rule(actor=st.sampled_from(ACTORS))
    def pile_up(self, actor: str) -> None:
        """Many groups of one actor in a row: its share of a batch is small, so some of them grow
        too old while they wait."""
        for _ in range(4):
            self.num_requests += 1
            request = make_request(actor, f"r{self.num_requests}", wanted=3)
            for lease in self.run(self.coordinator.lease(request)).leases:
                self.answer_late(lease)
            self.judge_and_write(8)

    def answer_late(self, lease: Lease) -> None:
        least = lease.least_policy
        oldest = next(policy for policy in self.world.announced if policy.suffices(least))
        self.answer(lease, oldest, (True, False))

    def answer(self, lease: Lease, policy: PolicyId, right: tuple[bool, ...]) -> None:
        group = self.run(
            make_group(self.world.environment, lease, policy, manifest_of(policy), right=right)
        )
        subject = names.rollouts_subject(group.run, lease.shard, group.policy, group.actor)
        self.send(subject, encode(group))

    @rule()
    def cut(self) -> None:
        self.run(self.coordinator.cut())

    @rule()
    def train(self) -> None:
        """The trainer makes the next version, when it has the batch for it."""
        incarnation, version = self.world.announced[-1]
        if self.coordinator.log.state.last_step > version:
            self.announce(PolicyId(incarnation, version + 1))

    @rule(versions_lost=st.integers(0, 3))
    def train_elsewhere(self, versions_lost: int) -> None:
        """A trainer under other numerics goes on from a checkpoint, in the next incarnation."""
        incarnation, version = self.world.announced[-1]
        self.announce(PolicyId(incarnation + 1, max(0, version - versions_lost)))

    def announce(self, policy: PolicyId) -> None:
        self.run(self.world.announce(policy))
        self.run(self.coordinator.known.catch_up())

    @rule(seconds=st.sampled_from([5.0, LEASE_LIFETIME_S + 1]))
    def time_passes(self, seconds: float) -> None:
        """Leases whose deadline it passes end, if nothing older is left to be judged."""
        self.now += seconds
        self.sweep()

    @rule()
    def sweep(self) -> None:
        self.run(self.coordinator.endings.sweep(self.now))

    # Purges

    @rule(
        actor=st.sampled_from((None, *ACTORS)),
        policy=st.sampled_from((None, PolicyId(1, 0), PolicyId(1, 1))),
        reason=st.sampled_from(PurgeReason),
    )
    def purge(self, actor: str | None, policy: PolicyId | None, reason: PurgeReason) -> None:
        """While rounds are in flight, and some of what goes may be in hand. More of this in
        `test_purge_interleavings`."""
        reply = self.run(self.coordinator.purge(actor=actor, policy=policy, reason=reason))
        assert bool(reply.detail) == (reason is PurgeReason.CUT_OFF and actor is None)

    @rule(actor=st.sampled_from(ACTORS))
    def let_in(self, actor: str) -> None:
        was_out = self.coordinator.log.state.is_cut_off(actor)
        reply = self.run(self.coordinator.let_in(actor))
        assert bool(reply.detail) == (not was_out)
        assert not self.coordinator.log.state.is_cut_off(actor)

    # The actors

    @rule(actor=st.sampled_from(ACTORS), wanted=st.integers(1, 2))
    def ask(self, actor: str, wanted: int) -> None:
        self.num_requests += 1
        request = make_request(actor, f"r{self.num_requests}", wanted=wanted)
        reply = self.run(self.coordinator.lease(request))
        again = self.run(self.coordinator.lease(request))
        assert reply.leases == again.leases or not reply.leases
        self.leases.extend(reply.leases)

    @rule(actor=st.sampled_from(ACTORS), keeps=st.booleans())
    def new_instance(self, actor: str, keeps: bool) -> None:
        """An actor that was killed asks again, with or without groups on its disk."""
        self.num_requests += 1
        own = tuple(lease.lease_id for lease in self.leases if lease.actor == actor)
        request = make_request(
            actor,
            f"r{self.num_requests}",
            instance=f"{actor}-{self.num_requests}",
            wanted=0,
            spooled=own if keeps else (),
        )
        self.run(self.coordinator.lease(request))

    @rule(actor=st.sampled_from(ACTORS), data=st.data())
    def give_back(self, actor: str, data: st.DataObject) -> None:
        own = [lease.lease_id for lease in self.leases if lease.actor == actor]
        if own:
            self.num_requests += 1
            request = make_request(
                actor,
                f"r{self.num_requests}",
                wanted=0,
                abandoned=(data.draw(st.sampled_from(own)),),
            )
            self.run(self.coordinator.lease(request))

    @rule(
        data=st.data(),
        right=st.lists(st.booleans(), min_size=1, max_size=3),
        behind=st.integers(-1, 4),
        thief=st.sampled_from((None, *ACTORS)),
        lie=st.booleans(),
    )
    def publish(
        self, data: st.DataObject, right: list[bool], behind: int, thief: str | None, lie: bool
    ) -> None:
        """An answer to some lease, by its holder or not, of the right size or not, with a policy
        that is old, new or does not exist, honest about its rewards or not."""
        if not self.leases:
            return
        lease = data.draw(st.sampled_from(self.leases))
        incarnation, version = self.world.announced[-1]
        unknown = PolicyId(incarnation, version + 1)
        policy = unknown if behind < 0 else self.world.announced[-1 - behind :][0]
        group = self.run(
            make_group(self.world.environment, lease, policy, manifest_of(policy), right=right)
        )
        changes: dict[str, Any] = {"actor": thief or lease.actor}
        if lie:
            liars = [_with(rollout, claimed_reward=1.0) for rollout in group.rollouts]
            changes["rollouts"] = tuple(liars)
        group = _with(group, **changes)
        subject = names.rollouts_subject(group.run, lease.shard, group.policy, group.actor)
        self.send(subject, encode(group))

    @rule(noise=st.binary(max_size=64), actor=st.sampled_from(ACTORS))
    def publish_noise(self, noise: bytes, actor: str) -> None:
        version = self.world.announced[-1]
        self.send(names.rollouts_subject("test", "s0", version, actor), noise)

    @rule(data=st.data(), seconds=st.sampled_from([0.0, 200.0]))
    def publish_again(self, data: st.DataObject, seconds: float) -> None:
        """A resend, inside or beyond the duplicate window."""
        if self.published:
            self.now += seconds
            self.send(*data.draw(st.sampled_from(self.published)))

    def send(self, subject: str, message: bytes) -> None:
        self.published.append((subject, message))
        with contextlib.suppress(QueueFull):  # A subject holds so many; the sender would wait.
            stored = self.run(MemoryBroker(self.world.server).publish(subject, message))
            self.stored_at.setdefault(stored.sequence, self.now)

    # The promises

    @invariant()
    def promises_hold(self) -> None:
        if not hasattr(self, "coordinator"):
            return
        report: AuditReport = self.run(audit_run(self.world.broker, "test", store=self.world.store))
        assert report.holds, report
        assert report.num_reused_sequences == 0, "what was purged has been judged as well"

    @invariant()
    def what_was_stored_by_the_deadline_is_in_time(self) -> None:
        if not hasattr(self, "coordinator"):
            return
        events = [event for entry in self.run(_written(self.world)) for event in _events(entry)]
        issued = [event.lease for event in events if isinstance(event, ledger.LeaseIssued)]
        deadlines = {lease.lease_id: lease.deadline for lease in issued}
        expired = {event.lease_id for event in events if isinstance(event, ledger.LeaseExpired)}
        for event in events:
            if isinstance(event, ledger.GroupRefused) and event.outcome is Outcome.LATE:
                assert event.lease_id is not None
                if event.lease_id in expired:
                    assert self.stored_at[event.sequence] > deadlines[event.lease_id]

    @invariant()
    def an_accepted_group_is_in_at_most_one_batch(self) -> None:
        if not hasattr(self, "coordinator"):
            return
        batches = _batches(self.run(_written(self.world)))
        used = [row.lease_id for batch in batches for row in batch.rows]
        assert len(used) == len(set(used))
        limit = self.world.settings.leases.max_staleness
        for batch in batches:
            assert all(batch.step - 1 - row.policy.version <= limit for row in batch.rows)


def _with(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


Written = Batch | ledger.LedgerEntry


async def _written(world: World) -> list[Written]:
    found: list[Written] = []
    async for record in world.broker.read(names.log_stream("test")):
        is_batch = record.subject.startswith("batches.")
        found.append(decode(record.data, Batch if is_batch else ledger.LedgerEntry))
    return found


def _batches(written: list[Written]) -> list[Batch]:
    return [one for one in written if isinstance(one, Batch)]


def _events(one: Written) -> tuple[ledger.LedgerEvent, ...]:
    return one.events if isinstance(one, ledger.LedgerEntry) else ()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture
def machine():
    machine = Interleavings()
    machine.open()
    yield machine
    machine.teardown()


def test_the_rule_of_passing_time_ends_leases(machine):
    machine.ask("ALICE", 1)
    machine.time_passes(LEASE_LIFETIME_S + 1)
    assert [*machine.coordinator.log.state.ended_leases]
    assert not machine.coordinator.log.state.open_leases


def test_the_rules_make_groups_too_old_for_their_batch(machine):
    machine.pile_up("ALICE")
    machine.go_on(6)
    written = machine.run(_written(machine.world))
    events = [event for one in written for event in _events(one)]
    assert [event.lease_ids for event in events if isinstance(event, ledger.GroupsDropped)]


def test_the_rules_go_on_in_a_later_incarnation(machine):
    for _ in range(2):
        machine.go_on(2)
        machine.train_elsewhere(1)
    machine.go_on(3)
    assert machine.world.announced[-1].incarnation == 3
    batches = _batches(machine.run(_written(machine.world)))
    rows = [row for batch in batches for row in batch.rows]
    assert {row.policy.incarnation for row in rows} == {1, 2, 3}
    machine.promises_hold()
