"""One example of every message, with every field set."""

from schemas import join, ledger, purge, trainer_events
from schemas.arrays import pack_f32, pack_u32
from schemas.batch import Batch, Row
from schemas.heartbeat import Heartbeat, State
from schemas.lease import (
    EngineProfile,
    EnvironmentRef,
    GrantReply,
    GrantRequest,
    Lease,
    LeaseReply,
    LeaseRequest,
    Sampling,
    WaitReason,
)
from schemas.policy import (
    FileEntry,
    PathManifest,
    PolicyAnnouncement,
    PolicyId,
    PolicyKind,
    PolicyManifest,
    Probe,
    Signed,
    StepMetrics,
    TensorEntry,
)
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan
from schemas.run_card import RunCard
from schemas.settings import IntakeSettings, RunSettings
from schemas.verdict import Outcome, Reason, Verdict

SHA = "ab" * 32
SEGMENT = f"2-{SHA}"
ACTOR = "A" + "B2" * 27 + "C"
USER = "U" + ACTOR[1:]
PROFILE = EngineProfile(
    engine="torch", version="2.13.0", dtype="float32", track="f32", max_context=256
)
ENVIRONMENT = EnvironmentRef(
    id="reverse", smallest=3, largest=6, train_on="exact", version="1", digest=SHA
)
LEASE = Lease(
    lease_id=7,
    run="demo",
    actor=ACTOR,
    environment=ENVIRONMENT,
    task=123,
    group_size=2,
    seed=2**63 - 1,
    sampling=Sampling(max_new_tokens=16, stop_ids=(2,)),
    renderer=SHA,
    shard="s0",
    least_policy=PolicyId(1, 3),
    deadline=1_800_000_000.5,
)
ANNOUNCEMENT = PolicyAnnouncement(
    run="demo",
    policy=PolicyId(1, 4),
    manifest_sha256=SHA,
    signature=bytes(range(64)),
    instance="trainer-1",
    metrics=StepMetrics(loss=0.5, grad_norm=1.5, num_tokens=100, step_s=0.25),
)
ROLLOUT = Rollout(
    token_ids=pack_u32([5, 6, 7, 2]),
    loss_mask=bytes([0, 0, 1, 1]),
    logprobs=pack_f32([-0.5, -0.25]),
    spans=(VersionSpan(num_tokens=2, policy=PolicyId(1, 4)),),
    finish=Finish.STOP,
    claimed_reward=1.0,
    trace=b"trace",
)
GROUP = RolloutGroup(
    run="demo",
    lease_id=7,
    actor=ACTOR,
    policy=PolicyId(1, 4),
    manifest_sha256=SHA,
    profile=PROFILE,
    rollouts=(ROLLOUT, ROLLOUT),
)
ACCEPTED = ledger.GroupAccepted(
    stream="ROLLOUTS_demo_s0",
    sequence=9,
    sha256=SHA,
    lease_id=7,
    actor=ACTOR,
    policy=PolicyId(1, 4),
    segment=SEGMENT,
    offset=0,
    length=300,
    rewards=(1.0, 0.0),
    parts=(ledger.RewardPart(name="exact", values=(1.0, 0.0)),),
    num_tokens=(4, 4),
)
REFUSED = ledger.GroupRefused(
    stream="ROLLOUTS_demo_s0",
    sequence=10,
    sha256=SHA,
    actor=ACTOR,
    lease_id=8,
    closes_lease=True,
    outcome=Outcome.REJECTED,
    reason=Reason.REWARD_MISMATCH,
    detail="rollout 0 claims reward 1, it is 0",
    rewards=(0.0, 0.0),
    parts=(ledger.RewardPart(name="exact", values=(0.0, 0.0)),),
    sample_kept=True,
)
NUMERICS = trainer_events.Numerics(
    world_size=2,
    num_threads=1,
    device="cpu",
    dtype="float32",
    token_budget=768,
    deterministic=True,
    attention="sdpa",
    experts="grouped_mm",
    torch_version="2.13.0",
    transformers_version="5.23.0",
    cpu="AVX512",
    cpu_model="AMD EPYC",
    mkl="AUTO",
)
OPENED = ledger.RunOpened(
    # Values of its own: a default may change, golden bytes may not.
    settings=RunSettings(name="demo", intake=IntakeSettings(num_workers=1, fetch_groups=64)),
    environment=ENVIRONMENT,
    renderer=SHA,
    vocabulary_size=64,
    initial_policy=PolicyId(1, 0),
    initial_manifest_sha256=SHA,
    run_key=SHA,
    code_sha256=SHA,
)

EXAMPLES = (
    LeaseRequest(
        run="demo",
        actor=ACTOR,
        request_id="r1",
        instance="i1",
        wanted=4,
        held=PolicyId(1, 3),
        profile=PROFILE,
        spooled=(5, 6),
        abandoned=(4,),
    ),
    LeaseReply(
        leases=(LEASE,), announcement=ANNOUNCEMENT, time=1_800_000_000.25, detail="a detail"
    ),
    LeaseReply(waiting_for=WaitReason.CAPACITY),
    GrantRequest(run="demo", actor=ACTOR, keys=("policies/demo/1-4/policy",)),
    GrantReply(urls=("http://127.0.0.1/x",)),
    GROUP,
    Verdict(
        stream="ROLLOUTS_demo_s0",
        sequence=9,
        sha256=SHA,
        actor=ACTOR,
        lease_id=7,
        outcome=Outcome.REJECTED,
        reason=Reason.TOKENS,
        detail="why",
    ),
    Batch(
        run="demo",
        step=5,
        rows=(
            Row(
                segment=SEGMENT,
                offset=0,
                length=300,
                sha256=SHA,
                lease_id=7,
                actor=ACTOR,
                policy=PolicyId(1, 4),
                advantages=(0.5, -0.5),
                num_tokens=(4, 4),
            ),
        ),
        previous_sha256=SHA,
        instance="c1",
    ),
    ANNOUNCEMENT,
    PolicyManifest(
        run="demo",
        policy=PolicyId(1, 4),
        kind=PolicyKind.FULL,
        weights_digest=SHA,
        tensors=(TensorEntry(name="a.weight", dtype="f32", shape=(2, 3), digest="0f" * 8),),
        files=(FileEntry(name="config.json", size=10, sha256=SHA),),
        renderer=SHA,
        probe=Probe(token_ids=pack_u32([1, 2, 3]), logprobs=pack_f32([-1.0, -2.0])),
        previous_sha256=None,
    ),
    PathManifest(
        run="demo",
        policy=PolicyId(1, 4),
        weights_digest=SHA,
        files=(FileEntry(name="model.safetensors", size=1000, sha256=SHA),),
    ),
    Signed(payload=b"payload", signature=bytes(64)),
    Heartbeat(
        run="demo",
        who="trainer",
        instance="t1",
        state=State.TRAINING,
        policy=PolicyId(1, 4),
        tokens_per_s=12.5,
        groups_published=3,
        waiting_for="batch 5",
    ),
    ledger.LedgerEntry(
        instance="c1",
        events=(
            OPENED,
            ledger.CoordinatorStarted(instance="c1", host="host", pid=1),
            ledger.LeaseIssued(lease=LEASE, request_id="r1", instance="i1"),
            ledger.LeaseExpired(lease_id=1),
            ledger.LeaseAbandoned(lease_id=2),
            ACCEPTED,
            REFUSED,
            ledger.GroupsDropped(step=5, lease_ids=(3, 4)),
        ),
    ),
    trainer_events.TrainerEntry(
        event=trainer_events.TrainerStarted(instance="t1", host="host", pid=1)
    ),
    trainer_events.TrainerEntry(
        event=trainer_events.IncarnationStarted(
            instance="t1", incarnation=1, numerics=NUMERICS, resumed_from=0
        )
    ),
    trainer_events.TrainerEntry(
        event=trainer_events.StepSkipped(instance="t1", incarnation=1, step=5, detail="NaN")
    ),
    ledger.LedgerEntry(
        instance="restore-1",
        events=(
            ledger.RunRestored(
                instance="restore-1",
                backup_sha256=SHA,
                taken=1_800_000_000.5,
                queues=(ledger.QueueEnd(stream="ROLLOUTS_demo_s0", last_sequence=13),),
            ),
        ),
    ),
    trainer_events.TrainerEntry(
        event=trainer_events.PoliciesRestored(instance="restore-1", backup_sha256=SHA)
    ),
    ledger.LedgerEntry(
        instance="c1",
        events=(
            ledger.ActorCutOff(actor=ACTOR, change=0),
            ledger.ActorLetIn(actor=ACTOR, change=1),
            ledger.PurgeBegun(
                purge=3,
                stream="ROLLOUTS_demo_s0",
                subject=f"rollouts.demo.s0.*.{ACTOR}",
                first=20,
                through=90,
                num_messages=40,
                reason=purge.PurgeReason.CUT_OFF,
            ),
            ledger.MessagesPurged(
                purge=3,
                stream="ROLLOUTS_demo_s0",
                reason=purge.PurgeReason.CUT_OFF,
                spans=(ledger.Span(21, 40), ledger.Span(42, 42)),
            ),
        ),
    ),
    purge.PurgeRequest(
        run="demo",
        reason=purge.PurgeReason.PURGED,
        actor=ACTOR,
        shard="s0",
        policy=PolicyId(1, 4),
        marks=(purge.QueueMark(shard="s0", through=90),),
        dry_run=True,
    ),
    purge.PurgeReply(
        queues=(
            purge.QueuePurge(
                shard="s0",
                through=90,
                num_messages=40,
                num_subjects=2,
                subjects=(
                    purge.SubjectCount(subject=f"rollouts.demo.s0.1-4.{ACTOR}", num_messages=30),
                ),
            ),
        ),
        detail="a detail",
    ),
    purge.LetInRequest(run="demo", actor=ACTOR),
    purge.LetInReply(detail="a detail"),
    join.JoinRequest(ticket="7" * 32, user=USER),
    join.JoinReply(
        token="header.claims.signature",
        card=RunCard(
            run="demo",
            nats="tls://broker.example.org:4222",
            tls_ca="-----BEGIN CERTIFICATE-----",
            run_key=SHA,
            environment=ENVIRONMENT,
        ),
        refusal="a refusal",
        for_now=True,
    ),
)
