"""A small run written by hand: every kind of lease end, verdict and way of a group is in it.

| lease | actor | what became of it |
|---|---|---|
| 0, 1 | ALICE, BOB | in batch 1 |
| 2 | BOB | refused: reward-mismatch |
| 3 | ALICE | accepted without signal |
| 4 | ALICE | accepted with version 0, dropped as stale at step 3 |
| 5 | BOB | expired; its group came late |
| 6 | BOB | abandoned |
| 7, 8 | ALICE, BOB | in batch 2, cut after a restart of the coordinator |
| 9 | BOB | open |
| 10 | ALICE | accepted, waiting |

Message 6 answers lease 0 again, 7 does not decode, 11 is stale; 13 has no verdict yet.
"""

from msgspec.structs import replace

from broker.accounts.roster import Contributor
from broker.accounts.tier import Tier
from broker.interface import Broker, StreamKind, StreamSpec, StreamState
from broker.logbook import LogItem
from broker.policies.signing import RunKey, sign_announcement
from schemas import names
from schemas.arrays import pack_f32, pack_u32
from schemas.batch import Batch, Row
from schemas.lease import EngineProfile, EnvironmentRef, Lease, Sampling
from schemas.ledger import (
    CoordinatorStarted,
    GroupAccepted,
    GroupRefused,
    GroupsDropped,
    LeaseAbandoned,
    LeaseExpired,
    LeaseIssued,
    LedgerEntry,
    RewardPart,
    RunOpened,
)
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan
from schemas.settings import BatchSettings, LeaseSettings, RunSettings
from schemas.trainer_events import IncarnationStarted, Numerics, TrainerEntry, TrainerStarted
from schemas.verdict import Outcome, Reason
from schemas.wire import encode, sha256_hex

CONTRIBUTOR = Contributor(
    name="alice",
    actor="ALICE",
    run="demo",
    shard="s0",
    tier=Tier.TRUSTED,
    ticket_sha256="0" * 64,
    invited=1.0,
    expires=2.0,
)
"""Invited, and not there yet."""

KEY = RunKey(bytes(32))
RUN, QUEUE = "demo", "ROLLOUTS_demo_s0"
START = 1_800_000_000.0
ENVIRONMENT = EnvironmentRef(
    id="reverse", smallest=3, largest=6, train_on="exact", version="1", digest="e" * 64
)
SETTINGS = RunSettings(
    name=RUN, leases=LeaseSettings(max_staleness=1), batch=BatchSettings(num_groups=2)
)
PROFILE = EngineProfile(engine="torch", version="2.13", dtype="f32", track="f32", max_context=64)
HOLDERS = {0: "ALICE", 3: "ALICE", 4: "ALICE", 7: "ALICE", 10: "ALICE"}


def holder(lease_id: int) -> str:
    return HOLDERS.get(lease_id, "BOB")


def group(lease_id: int, version: int, rewards: tuple[float, float] = (1.0, 0.0)) -> bytes:
    """Wire bytes of a group of two short rollouts."""
    policy = PolicyId(1, version)
    rollouts = tuple(
        Rollout(
            token_ids=pack_u32([5, 6, 7 + lease_id, 2]),
            loss_mask=bytes([0, 0, 1, 1]),
            logprobs=pack_f32([-0.5, -0.25]),
            spans=(VersionSpan(num_tokens=2, policy=policy),),
            finish=Finish.STOP,
            claimed_reward=reward,
        )
        for reward in rewards
    )
    return encode(
        RolloutGroup(
            run=RUN,
            lease_id=lease_id,
            actor=holder(lease_id),
            policy=policy,
            manifest_sha256="a" * 64,
            profile=PROFILE,
            rollouts=rollouts,
        )
    )


def subject(lease_id: int, version: int) -> str:
    return names.rollouts_subject(RUN, "s0", (1, version), holder(lease_id))


MESSAGES = [
    (subject(0, 0), group(0, 0)),
    (subject(1, 0), group(1, 0, (0.0, 1.0))),
    (subject(2, 0), group(2, 0, (1.0, 1.0))),
    (subject(3, 0), group(3, 0, (1.0, 1.0))),
    (subject(4, 0), group(4, 0)),
    (subject(0, 1), group(0, 1)),
    (subject(2, 0), b"TRIB\x01 not a frame \x1b[31m"),
    (subject(5, 0), group(5, 0)),
    (subject(7, 1), group(7, 1)),
    (subject(8, 1), group(8, 1)),
    (subject(5, 0), b"stale, and judged from the subject"),
    (subject(10, 2), group(10, 2)),
    (subject(9, 2), group(9, 2)),
]
"""Subject and data by sequence, from 1."""


def issued(lease_id: int) -> LeaseIssued:
    lease = Lease(
        lease_id=lease_id,
        run=RUN,
        actor=holder(lease_id),
        environment=ENVIRONMENT,
        task=1000 + lease_id,
        group_size=2,
        seed=lease_id,
        sampling=Sampling(max_new_tokens=16, stop_ids=(2,)),
        renderer="d" * 64,
        shard="s0",
        least_policy=PolicyId(0, 0),
        deadline=START + 60,
    )
    return LeaseIssued(lease=lease, request_id=f"request-{lease_id}", instance="process-1")


def accepted(
    sequence: int, lease_id: int, version: int, rewards: tuple[float, float] = (1.0, 0.0)
) -> GroupAccepted:
    data = MESSAGES[sequence - 1][1]
    return GroupAccepted(
        stream=QUEUE,
        sequence=sequence,
        sha256=sha256_hex(data),
        lease_id=lease_id,
        actor=holder(lease_id),
        policy=PolicyId(1, version),
        segment=f"1-{sha256_hex(data)}",
        offset=0,
        length=len(data),
        rewards=rewards,
        parts=(RewardPart(name="partial", values=(0.5, 0.25)),),
        num_tokens=(4, 4),
    )


def refused(sequence: int, lease_id: int | None, outcome: Outcome, **fields) -> GroupRefused:
    sent_to, data = MESSAGES[sequence - 1]
    return GroupRefused(
        stream=QUEUE,
        sequence=sequence,
        sha256=sha256_hex(data),
        actor=names.last_token(sent_to),
        lease_id=lease_id,
        closes_lease=fields.pop("closes_lease", False),
        outcome=outcome,
        reason=fields.pop("reason", Reason.NONE),
        **fields,
    )


def row(group: GroupAccepted) -> Row:
    mean = sum(group.rewards) / len(group.rewards)
    return Row(
        segment=group.segment,
        offset=group.offset,
        length=group.length,
        sha256=group.sha256,
        lease_id=group.lease_id,
        actor=group.actor,
        policy=group.policy,
        advantages=tuple(reward - mean for reward in group.rewards),
        num_tokens=group.num_tokens,
    )


def entry(*events, instance: str = "coordinator-1") -> LedgerEntry:
    return LedgerEntry(instance=instance, events=events)


def started(instance: str) -> CoordinatorStarted:
    return CoordinatorStarted(instance=instance, host="node", pid=7)


OPENED = RunOpened(
    settings=SETTINGS,
    environment=ENVIRONMENT,
    renderer="d" * 64,
    vocabulary_size=64,
    initial_policy=PolicyId(1, 0),
    initial_manifest_sha256="a" * 64,
    run_key=KEY.public,
    code_sha256="c" * 64,
)


def contents() -> list[LedgerEntry | Batch]:
    """The whole log, in order."""
    one, two = accepted(1, 0, 0), accepted(2, 1, 0, (0.0, 1.0))
    seven, eight = accepted(9, 7, 1), accepted(10, 8, 1)
    first = Batch(
        run=RUN, step=1, rows=(row(one), row(two)), previous_sha256=None, instance="coordinator-1"
    )
    second = Batch(
        run=RUN,
        step=2,
        rows=(row(seven), row(eight)),
        previous_sha256=sha256_hex(encode(first)),
        instance="coordinator-2",
    )
    mismatch = "rollout 1 claims reward 1, it is 0"
    return [
        entry(OPENED, started("coordinator-1")),
        entry(*(issued(lease_id) for lease_id in range(4))),
        entry(
            one,
            two,
            refused(
                3,
                2,
                Outcome.REJECTED,
                reason=Reason.REWARD_MISMATCH,
                closes_lease=True,
                detail=mismatch,
            ),
            accepted(4, 3, 0, (1.0, 1.0)),
        ),
        first,
        entry(*(issued(lease_id) for lease_id in range(4, 10))),
        entry(
            accepted(5, 4, 0),
            refused(6, 0, Outcome.DUPLICATE, detail="lease 0 is already fulfilled"),
            refused(7, None, Outcome.REJECTED, reason=Reason.ENVELOPE, detail="broken \x1b[31m"),
            LeaseExpired(lease_id=5),
            LeaseAbandoned(lease_id=6),
        ),
        entry(started("coordinator-2"), instance="coordinator-2"),
        entry(
            refused(8, 5, Outcome.LATE, detail="lease 5 was expired before it arrived"),
            seven,
            eight,
            refused(11, None, Outcome.STALE, detail="made with version 0"),
            instance="coordinator-2",
        ),
        second,
        entry(issued(10), instance="coordinator-2"),
        entry(
            accepted(12, 10, 2),
            GroupsDropped(step=3, lease_ids=(4,)),
            instance="coordinator-2",
        ),
    ]


def with_samples(*sequences: int) -> list[LedgerEntry | Batch]:
    """The log of a coordinator that kept these refused messages."""
    return [
        replace(
            content,
            events=tuple(
                replace(event, sample_kept=event.sequence in sequences)
                if isinstance(event, GroupRefused)
                else event
                for event in content.events
            ),
        )
        if isinstance(content, LedgerEntry)
        else content
        for content in contents()
    ]


def policies() -> list[PolicyAnnouncement | TrainerEntry]:
    numerics = Numerics(
        world_size=1,
        num_threads=1,
        device="cpu",
        dtype="f32",
        token_budget=768,
        deterministic=True,
        attention="sdpa",
        experts="eager",
        torch_version="2.13.0",
        transformers_version="5.23.0",
        cpu="AVX2",
        cpu_model="AMD EPYC",
        mkl="AUTO",
    )
    beginning = [
        TrainerStarted(instance="trainer-1", host="node", pid=8),
        IncarnationStarted(instance="trainer-1", incarnation=1, numerics=numerics, resumed_from=0),
    ]
    announced = [
        sign_announcement(
            KEY,
            run=RUN,
            policy=PolicyId(1, version),
            manifest_sha256=digit * 64,
            instance="trainer-1",
        )
        for version, digit in enumerate("abc")
    ]
    return [*(TrainerEntry(event=event) for event in beginning), *announced]


def items(log: list[LedgerEntry | Batch]) -> list[LogItem]:
    return [
        LogItem(
            sequence=sequence,
            time=START + sequence,
            sha256=sha256_hex(encode(content)),
            content=content,
        )
        for sequence, content in enumerate(log, 1)
    ]


def states(log: list[LedgerEntry | Batch]) -> list[StreamState]:
    queue = StreamState(
        name=QUEUE,
        created=START - 2,
        num_messages=1,
        num_bytes=100,
        first_sequence=13,
        last_sequence=13,
    )
    kept = StreamState(
        name="LOG_demo",
        created=START - 1,
        num_messages=len(log),
        num_bytes=100,
        first_sequence=1,
        last_sequence=len(log),
    )
    return [queue, kept]


async def fill(
    broker: Broker,
    log: list[LedgerEntry | Batch] | None = None,
    announced: list[PolicyAnnouncement | TrainerEntry] | None = None,
) -> None:
    """Put the run on a server, with these logs instead of its own: judged messages are gone."""
    queue = StreamSpec(
        name=QUEUE,
        subjects=(names.rollouts_filter(RUN, "s0"),),
        kind=StreamKind.QUEUE,
        consumer="intake_s0",
        max_bytes=1 << 20,
    )
    kept = [
        ("LOG_demo", (names.ledger_subject(RUN), names.batches_filter(RUN))),
        ("POLICIES_demo", (names.policy_subject(RUN), names.trainer_subject(RUN))),
    ]
    await broker.ensure_stream(queue)
    for name, subjects in kept:
        await broker.ensure_stream(StreamSpec(name=name, subjects=subjects, kind=StreamKind.LOG))
    for sequence, content in enumerate(log or contents()):
        on = (
            names.batch_subject(RUN, content.step)
            if isinstance(content, Batch)
            else names.ledger_subject(RUN)
        )
        await broker.append("LOG_demo", on, encode(content), expected_last=sequence)
    for sequence, content in enumerate(announced or policies()):
        on = (
            names.trainer_subject(RUN)
            if isinstance(content, TrainerEntry)
            else names.policy_subject(RUN)
        )
        await broker.append("POLICIES_demo", on, encode(content), expected_last=sequence)
    for sent_to, data in MESSAGES:
        await broker.publish(sent_to, data)
    judged = await broker.pull(QUEUE, "intake_s0", max_messages=12, max_bytes=1 << 20, timeout_s=0)
    for delivery in judged:
        await delivery.ack()
