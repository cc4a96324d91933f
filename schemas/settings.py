"""Settings of the three programs, and how they are resolved.

Defaults stand in the Structs and nowhere else; TOML files override them in the order given; dotted
overrides on the command line come last. Everything is merged into one tree and converted once, so
that bounds hold wherever a value came from (a Struct's constructor checks nothing).

    learner run @ examples/demo.toml --trainer.learning_rate 1e-4
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.lease import MAX_GROUP_SIZE, MAX_NEW_TOKENS
from schemas.types import Token

PositiveInt = Annotated[int, Meta(ge=1, le=2**31)]
Seconds = Annotated[float, Meta(gt=0, le=1e7)]


class _Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Connection(_Settings, frozen=True):
    """Where the two servers are. Secrets are named by path, never held here."""

    nats: Annotated[str, Meta(description="URL of the NATS server")] = "nats://127.0.0.1:4222"
    s3: Annotated[str, Meta(description="endpoint of the object storage; empty: AWS")] = (
        "http://127.0.0.1:8333"
    )
    bucket: Token = "tributary"
    s3_credentials: Annotated[
        str, Meta(description="file with access_key and secret_key; empty: boto3's own chain")
    ] = ""


class ModelSettings(_Settings, frozen=True):
    """A GLM-4.5-style mixture of experts, built when no model is given."""

    hidden_size: PositiveInt = 128
    num_layers: PositiveInt = 3
    num_heads: PositiveInt = 4
    num_key_value_heads: PositiveInt = 2
    intermediate_size: PositiveInt = 256
    num_experts: PositiveInt = 8
    num_experts_per_token: PositiveInt = 2
    moe_intermediate_size: PositiveInt = 64
    max_positions: PositiveInt = 256


class EnvironmentSettings(_Settings, frozen=True):
    """The tasks."""

    id: Annotated[str, Meta(description="reverse, arithmetic or lookup")] = "reverse"
    smallest: Annotated[int, Meta(ge=1, le=64, description="easiest tasks: letters, digits")] = 3
    largest: Annotated[int, Meta(ge=1, le=64, description="hardest tasks: letters, digits")] = 6
    train_on: Annotated[
        Literal["exact", "partial"], Meta(description="the reward part that is trained on")
    ] = "exact"


class SftSettings(_Settings, frozen=True):
    """Supervised fine-tuning that makes the initial policy."""

    batch_size: PositiveInt = 64
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 2e-3
    max_steps: PositiveInt = 600
    target_reward: Annotated[
        float, Meta(gt=0, le=1, description="stop at this exact-match sampled reward")
    ] = 0.45
    evaluate_every: PositiveInt = 10
    num_evaluation_tasks: PositiveInt = 256


class SamplingSettings(_Settings, frozen=True):
    """How a group is generated."""

    group_size: Annotated[int, Meta(ge=2, le=MAX_GROUP_SIZE)] = 8
    max_new_tokens: Annotated[int, Meta(ge=1, le=MAX_NEW_TOKENS)] = 16


class LeaseSettings(_Settings, frozen=True):
    """Who gets how much work."""

    max_staleness: Annotated[
        int, Meta(ge=0, le=1024, description="versions that a group may lag behind its batch")
    ] = 4
    lifetime_s: Seconds = 60.0
    max_open_per_actor: Annotated[int, Meta(ge=1, le=64)] = 16
    hold_s: Annotated[Seconds, Meta(description="how long a request may wait for capacity")] = 5.0


class IntakeSettings(_Settings, frozen=True):
    """Bounds on what strangers may cost."""

    shards: Annotated[tuple[Token, ...], Meta(min_length=1, max_length=64)] = ("s0",)
    max_message_bytes: Annotated[
        int, Meta(ge=1024, le=4 << 20, description="of one group; the server's max_payload binds")
    ] = 1 << 20
    max_stream_bytes: PositiveInt = 1 << 28
    max_memory_mib: Annotated[PositiveInt, Meta(description="above an idle worker")] = 64
    max_cpu_ms: PositiveInt = 250
    num_workers: Annotated[
        PositiveInt, Meta(description="judging processes; two keep one event loop busy")
    ] = 2
    fetch_groups: Annotated[
        int, Meta(ge=1, le=1024, description="most that one segment and ledger entry hold")
    ] = 256
    refused_samples: Annotated[
        int, Meta(ge=0, le=1000, description="refused messages kept per actor and reason")
    ] = 3


class BatchSettings(_Settings, frozen=True):
    """When a batch is cut, and from whom."""

    num_groups: Annotated[int, Meta(ge=1, le=65_536)] = 16
    actor_share: Annotated[
        float, Meta(gt=0, le=1, description="of a batch, while others can fill it")
    ] = 0.5
    actor_cap: Annotated[
        float, Meta(gt=0, le=1, description="of a batch, always; 1 means no cap")
    ] = 1.0
    no_signal_limit: Annotated[
        PositiveInt, Meta(description="consecutive groups without signal that pause the run")
    ] = 512


class DppoSettings(_Settings, frozen=True, tag_field="kind", tag="dppo"):
    """Trust region in probability space, see `learner.trainer.losses.dppo`."""

    mask_low: Annotated[float, Meta(gt=0, le=1)] = 0.2
    mask_high: Annotated[float, Meta(gt=0, le=1)] = 0.2
    kl_weight: Annotated[float, Meta(ge=0, le=10)] = 1e-3


class PpoSettings(_Settings, frozen=True, tag_field="kind", tag="ppo"):
    """Clipped importance ratio, see `learner.trainer.losses.ppo`."""

    clip_low: Annotated[float, Meta(gt=0, lt=1)] = 0.2
    clip_high: Annotated[float, Meta(gt=0, le=10)] = 0.28


class TrainerSettings(_Settings, frozen=True):
    """The optimizer's loop."""

    num_steps: PositiveInt = 200
    num_ranks: Annotated[int, Meta(ge=1, le=65_536)] = 1
    num_threads: Annotated[PositiveInt, Meta(description="of each rank")] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 2e-4
    warmup_steps: Annotated[int, Meta(ge=0)] = 10
    beta1: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Meta(ge=0, lt=1)] = 0.95
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_grad_norm: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    token_budget: Annotated[PositiveInt, Meta(description="tokens of one packed micro-batch")] = 768
    checkpoint_every: PositiveInt = 10
    keep_checkpoints: PositiveInt = 2
    loss: DppoSettings | PpoSettings = DppoSettings()


class RunSettings(_Settings, frozen=True):
    """All that decides what the model learns; written into the log when the run is opened."""

    name: Token = "demo"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    model: ModelSettings = ModelSettings()
    environment: EnvironmentSettings = EnvironmentSettings()
    sft: SftSettings = SftSettings()
    sampling: SamplingSettings = SamplingSettings()
    leases: LeaseSettings = LeaseSettings()
    intake: IntakeSettings = IntakeSettings()
    batch: BatchSettings = BatchSettings()
    trainer: TrainerSettings = TrainerSettings()


class LearnerSettings(RunSettings, frozen=True):
    """Settings of `learner`: the run, and where this cluster keeps things."""

    directory: Annotated[
        str, Meta(description="folder of runs: keys, checkpoints, logs, reports")
    ] = "runs"
    connection: Connection = Connection()


class ActorSettings(_Settings, frozen=True):
    """Settings of `actor`."""

    home: Annotated[str, Meta(description="folder of the actor's key, policies and spool")] = (
        "~/.local/share/tributary"
    )
    engine: Literal["torch"] = "torch"
    dtype: Literal["float32", "bfloat16"] = "float32"
    num_threads: PositiveInt = 1
    max_leases: Annotated[int, Meta(ge=1, le=64, description="leases in flight at once")] = 4
    max_batch: Annotated[PositiveInt, Meta(description="sequences generated at once")] = 64
    heartbeat_s: Seconds = 2.0
    drain_s: Annotated[Seconds, Meta(description="at most this long to finish on SIGTERM")] = 30.0
    spool_mib: Annotated[
        PositiveInt,
        Meta(description="finished groups kept while the broker is away; then it waits"),
    ] = 64


def run_settings(settings: LearnerSettings) -> RunSettings:
    """The part of the learner's settings that the log records."""
    return RunSettings(**{name: getattr(settings, name) for name in RunSettings.__struct_fields__})
