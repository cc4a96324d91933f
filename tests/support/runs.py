"""Runs that were never run: logs and archive written by hand, over the in-memory twins.

Everything that a reader of the logs may meet can be put into them, without a coordinator or a
trainer deciding anything.
"""

from collections.abc import Sequence

from msgspec import structs

from broker.interface import StreamKind, StreamSpec
from broker.logbook import PolicyItem, read_policies
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from broker.policies.signing import RunKey, sign_announcement
from environments.catalogue import open_environment
from learner.coordinator.advantages import group_advantages, has_signal
from schemas import ledger, names
from schemas.batch import Batch, Row
from schemas.lease import Lease, Sampling
from schemas.policy import PolicyId, StepMetrics
from schemas.purge import PurgeReason
from schemas.rollout import RolloutGroup
from schemas.settings import BatchSettings, LeaseSettings, RunSettings, TrainerSettings
from schemas.trainer_events import TrainerEntry, TrainerStarted
from schemas.verdict import Outcome, Reason
from schemas.wire import encode, sha256_hex
from tests.support.groups import make_group

START = 1_700_000_000.0
KEY = RunKey(bytes(32))


class SyntheticRun:
    """One run; each write to a log is a second after the one before it."""

    def __init__(self, *, num_steps: int = 3, name: str = "synthetic") -> None:
        self.settings = RunSettings(
            name=name,
            leases=LeaseSettings(max_staleness=2),
            batch=BatchSettings(num_groups=2),
            trainer=TrainerSettings(num_steps=num_steps),
        )
        self.now = START
        self.broker = MemoryBroker(MemoryServer(wall_clock=self._tick))
        self.store = MemoryStore()
        self.archive = Archive(self.store, name)
        self.environment = open_environment(self.settings.environment)
        self.version = 0
        self.num_leases = 0
        self.num_messages = 0
        self.num_purges = 0
        self.step = 0
        self._previous: str | None = None
        self._ends = {names.log_stream(name): 0, names.policies_stream(name): 0}
        self.waiting: list[ledger.GroupAccepted] = []

    def _tick(self) -> float:
        self.now += 1.0
        return self.now

    async def open(self) -> None:
        """Create the two logs, and open the run."""
        run = self.settings.name
        log_subjects = (names.ledger_subject(run), names.batches_filter(run))
        policy_subjects = (names.policy_subject(run), names.trainer_subject(run))
        for name, subjects in zip(self._ends, (log_subjects, policy_subjects), strict=True):
            spec = StreamSpec(name=name, subjects=subjects, kind=StreamKind.LOG)
            await self.broker.ensure_stream(spec)
        self.now = START
        opened = ledger.RunOpened(
            settings=self.settings,
            environment=self.environment.ref,
            renderer=self.environment.renderer,
            vocabulary_size=self.environment.vocabulary_size,
            initial_policy=PolicyId(1, 0),
            initial_manifest_sha256="0" * 64,
            run_key=KEY.public,
            code_sha256="0" * 64,
        )
        await self.say(opened, _coordinator("coordinator-1"))
        await self.start_trainer("trainer-1")
        await self.announce()

    async def say(self, *events: ledger.LedgerEvent) -> None:
        """Write one ledger entry."""
        entry = ledger.LedgerEntry(instance="coordinator-1", events=events)
        await self._append(
            names.log_stream(self.settings.name),
            names.ledger_subject(self.settings.name),
            encode(entry),
        )

    async def policies(self) -> list[PolicyItem]:
        """POLICIES to its end."""
        return [item async for item in read_policies(self.broker, self.settings.name, KEY.public)]

    async def start_coordinator(self, instance: str) -> None:
        await self.say(_coordinator(instance))

    async def start_trainer(self, instance: str) -> None:
        entry = TrainerEntry(event=TrainerStarted(instance=instance, host="here", pid=1))
        run = self.settings.name
        await self._append(names.policies_stream(run), names.trainer_subject(run), encode(entry))

    async def lease(self, actor: str, *, instance: str = "i1") -> Lease:
        """Issue one lease."""
        lease = Lease(
            lease_id=self.num_leases,
            run=self.settings.name,
            actor=actor,
            environment=self.environment.ref,
            task=self.num_leases,
            group_size=4,
            seed=self.num_leases,
            sampling=Sampling(max_new_tokens=16, stop_ids=self.environment.stop_ids),
            renderer=self.environment.renderer,
            shard="s0",
            least_policy=PolicyId(1, 0),
            deadline=self.now + 60,
        )
        self.num_leases += 1
        await self.say(ledger.LeaseIssued(lease=lease, request_id="r", instance=instance))
        return lease

    async def group(self, lease: Lease, right: Sequence[bool], version: int = 0) -> RolloutGroup:
        """A group as its actor would send it."""
        policy = PolicyId(1, version)
        return await make_group(self.environment, lease, policy, "0" * 64, right=right)

    async def accept(
        self, actor: str, right: Sequence[bool], *, version: int = 0
    ) -> ledger.GroupAccepted:
        """Lease, group, segment and verdict."""
        lease = await self.lease(actor)
        group = await self.group(lease, right, version)
        data = encode(group)
        segment = await self.archive.write([data], term=1)
        event = ledger.GroupAccepted(
            stream=self._stream(),
            sequence=self._next_message(),
            sha256=sha256_hex(data),
            lease_id=lease.lease_id,
            actor=actor,
            policy=group.policy,
            segment=segment.name,
            offset=0,
            length=len(data),
            num_tokens=tuple(len(rollout.loss_mask) for rollout in group.rollouts),
            **_scores(right),
        )
        if has_signal(event.rewards):
            self.waiting.append(event)
        await self.say(event)
        return event

    async def refuse_claim(self, actor: str, right: Sequence[bool]) -> ledger.GroupRefused:
        """A group whose claimed rewards are false: recomputed, refused, kept as a sample."""
        lease = await self.lease(actor)
        group = await self.group(lease, right)
        claims = (structs.replace(each, claimed_reward=1.0) for each in group.rollouts)
        data = encode(structs.replace(group, rollouts=tuple(claims)))
        await self.archive.keep_refused(data)
        return await self.refuse(
            actor,
            Outcome.REJECTED,
            Reason.REWARD_MISMATCH,
            lease_id=lease.lease_id,
            closes_lease=True,
            sha256=sha256_hex(data),
            sample_kept=True,
            detail="rollout 1: claimed 1.0, recomputed 0.0",
            **_scores(right),
        )

    async def refuse(
        self, actor: str, outcome: Outcome, reason: Reason = Reason.NONE, **more: object
    ) -> ledger.GroupRefused:
        """A verdict on a message that is not accepted."""
        fields = {"lease_id": None, "closes_lease": False, "sha256": "1" * 64, **more}
        event = ledger.GroupRefused(
            stream=self._stream(),
            sequence=self._next_message(),
            actor=actor,
            outcome=outcome,
            reason=reason,
            **fields,  # pyright: ignore[reportArgumentType]
        )
        await self.say(event)
        return event

    async def purge(self, actor: str, count: int, reason: PurgeReason) -> None:
        """Both events of a purge of so many messages of one actor."""
        first = self.num_messages + 1
        self.num_messages += count
        subject = names.selection_filter(self.settings.name, "s0", actor=actor)
        span = ledger.Span(first, self.num_messages)
        begun = ledger.PurgeBegun(
            purge=self.num_purges,
            stream=self._stream(),
            subject=subject,
            first=first,
            through=self.num_messages,
            num_messages=count,
            reason=reason,
        )
        told = ledger.MessagesPurged(
            purge=self.num_purges, stream=self._stream(), reason=reason, spans=(span,)
        )
        self.num_purges += 1
        await self.say(begun)
        await self.say(told)

    async def cut(self) -> Batch:
        """Put all waiting groups into the next batch."""
        self.step += 1
        batch = Batch(
            run=self.settings.name,
            step=self.step,
            rows=tuple(_row(group) for group in self.waiting),
            previous_sha256=self._previous,
            instance="coordinator-1",
        )
        self.waiting = []
        data = encode(batch)
        self._previous = sha256_hex(data)
        run = self.settings.name
        await self._append(names.log_stream(run), names.batch_subject(run, self.step), data)
        return batch

    async def announce(self, metrics: StepMetrics = StepMetrics(), *, key: RunKey = KEY) -> None:
        """Announce the next policy, the initial one first."""
        announcement = sign_announcement(
            key,
            run=self.settings.name,
            policy=PolicyId(1, self.version),
            manifest_sha256="0" * 64,
            instance="trainer-1",
            metrics=metrics,
        )
        self.version += 1
        run = self.settings.name
        await self._append(
            names.policies_stream(run), names.policy_subject(run), encode(announcement)
        )

    async def _append(self, stream: str, subject: str, data: bytes) -> None:
        self._ends[stream] = await self.broker.append(
            stream, subject, data, expected_last=self._ends[stream]
        )

    def _stream(self) -> str:
        return names.rollouts_stream(self.settings.name, "s0")

    def _next_message(self) -> int:
        self.num_messages += 1
        return self.num_messages


def _coordinator(instance: str) -> ledger.CoordinatorStarted:
    return ledger.CoordinatorStarted(instance=instance, host="here", pid=1)


def _scores(right: Sequence[bool]) -> dict:
    """Rewards as the environment gives them: exact match is trained on, a wrong answer is empty."""
    exact = tuple(float(one) for one in right)
    partial = tuple(1.0 if one else 0.25 for one in right)
    parts = (
        ledger.RewardPart(name="exact", values=exact),
        ledger.RewardPart(name="partial", values=partial),
    )
    return {"rewards": exact, "parts": parts}


def _row(group: ledger.GroupAccepted) -> Row:
    return Row(
        segment=group.segment,
        offset=group.offset,
        length=group.length,
        sha256=group.sha256,
        lease_id=group.lease_id,
        actor=group.actor,
        policy=group.policy,
        advantages=group_advantages(group.rewards),
        num_tokens=group.num_tokens,
    )
