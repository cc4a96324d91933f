"""Every setting of `learner` and of `actor`, with its default, its bounds and its meaning.

Defaults stand here and nowhere else; `schemas.resolve` lets files and the command line override
them, and `schemas.described` reads the rest for `--help` and for the sentence about a mistake.

Bounds are checked when settings are decoded, from a file, the command line or a log; the
constructor does not know them. What settings must be together (`__post_init__`) is always checked,
and a ValueError says which of them do not agree.

    learner run @ examples/demo.toml --trainer.learning_rate 1e-4
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.lease import MAX_GROUP_SIZE, MAX_HOLD_S, MAX_NEW_TOKENS
from schemas.model_settings import ModelSettings
from schemas.types import MAX_WIRE_BYTES, Token

PositiveInt = Annotated[int, Meta(ge=1, le=2**31)]
Seconds = Annotated[float, Meta(gt=0, le=1e7)]


class _Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Connection(_Settings, frozen=True):
    """Where the two servers are, for `learner` and `broker`; an actor is told by its run card.

    Secrets are named by path, never held here.
    """

    nats: Annotated[
        str, Meta(description="URL of the NATS server; of a cluster all, with commas between")
    ] = "nats://127.0.0.1:4222"
    accounts: Annotated[
        str,
        Meta(description="folder with credentials for the NATS server; empty: it asks for none"),
    ] = ""
    num_replicas: Annotated[
        int,
        Meta(ge=1, le=5, description="servers of a cluster that each keep a copy of every stream"),
    ] = 1
    s3: Annotated[str, Meta(description="endpoint of the object storage; empty: AWS")] = (
        "http://127.0.0.1:8333"
    )
    bucket: Annotated[Token, Meta(description="bucket of all runs' objects")] = "tributary"
    s3_credentials: Annotated[
        str, Meta(description="file with access_key and secret_key; empty: boto3's own chain")
    ] = ""


class EnvironmentSettings(_Settings, frozen=True):
    """The tasks."""

    id: Annotated[
        str, Meta(description="its name; one that is none is answered with those that there are")
    ] = "reverse"
    smallest: Annotated[
        int, Meta(ge=1, le=64, description="letters, or digits of a number, of the easiest tasks")
    ] = 3
    largest: Annotated[
        int, Meta(ge=1, le=64, description="letters, or digits of a number, of the hardest tasks")
    ] = 6
    train_on: Annotated[
        Literal["exact", "partial"], Meta(description="the reward part that is trained on")
    ] = "exact"


class SftSettings(_Settings, frozen=True):
    """Supervised fine-tuning that makes the initial policy."""

    batch_size: Annotated[
        int, Meta(ge=1, le=65_536, description="reference answers of one step")
    ] = 64
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="step size of the optimizer")] = (
        2e-3
    )
    max_steps: Annotated[
        PositiveInt,
        Meta(description="most steps; a target that is not reached by then is missed"),
    ] = 600
    target_reward: Annotated[
        float,
        Meta(ge=0, le=1, description="share of exact answers, sampled, to stop at; 0: any will do"),
    ] = 0.45
    evaluate_every: Annotated[
        PositiveInt, Meta(description="steps between two samplings of the reward")
    ] = 10
    num_evaluation_tasks: Annotated[
        int, Meta(ge=1, le=65_536, description="tasks answered in one sampling of the reward")
    ] = 256


class SamplingSettings(_Settings, frozen=True):
    """How a group is generated."""

    group_size: Annotated[
        int, Meta(ge=2, le=MAX_GROUP_SIZE, description="rollouts of one task, by one actor")
    ] = 8
    max_new_tokens: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_NEW_TOKENS,
            description="most tokens of one completion; a rollout of several turns has several",
        ),
    ] = 16


class LeaseSettings(_Settings, frozen=True):
    """Who gets how much work."""

    max_staleness: Annotated[
        int, Meta(ge=0, le=1024, description="versions that a group may lag behind its batch")
    ] = 4
    lifetime_s: Annotated[Seconds, Meta(description="seconds from a lease to its deadline")] = 60.0
    max_open_per_actor: Annotated[
        int, Meta(ge=1, le=64, description="most leases that an actor holds at once")
    ] = 16
    hold_s: Annotated[
        float, Meta(gt=0, le=MAX_HOLD_S, description="seconds that a request may wait for capacity")
    ] = 5.0


class IntakeSettings(_Settings, frozen=True):
    """Bounds on what strangers may cost."""

    shards: Annotated[
        tuple[Token, ...],
        Meta(min_length=1, max_length=64, description="queues; each actor publishes to one"),
    ] = ("s0",)
    trusted_shards: Annotated[
        tuple[Token, ...],
        Meta(max_length=63, description="those of the queues that only trusted actors publish to"),
    ] = ()
    max_message_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=MAX_WIRE_BYTES,
            description="bytes of one group; the longest must fit before compression, 9 a token",
        ),
    ] = 1 << 20
    max_stream_bytes: Annotated[
        PositiveInt, Meta(description="bytes that wait in one queue before publishers wait")
    ] = 1 << 28
    max_memory_mib: Annotated[
        PositiveInt, Meta(description="memory to judge one group, in MiB above an idle worker")
    ] = 64
    max_cpu_ms: Annotated[
        PositiveInt, Meta(description="milliseconds of CPU time to judge one group")
    ] = 250
    num_workers: Annotated[
        PositiveInt, Meta(description="judging processes; two keep one event loop busy")
    ] = 2
    fetch_groups: Annotated[
        int, Meta(ge=1, le=1024, description="most groups that one segment and ledger entry hold")
    ] = 256
    refused_samples: Annotated[
        int, Meta(ge=0, le=1000, description="refused messages kept per actor and reason")
    ] = 3

    def __post_init__(self) -> None:
        if len(set(self.shards)) < len(self.shards):
            raise ValueError("intake.shards names one queue twice: each needs a name of its own")
        if set(self.trusted_shards) >= set(self.shards) or set(self.trusted_shards) - set(
            self.shards
        ):
            raise ValueError(
                "intake.trusted_shards names some of intake.shards, and leaves one for strangers"
            )
        if self.max_message_bytes > self.max_stream_bytes:
            raise ValueError(
                f"intake.max_message_bytes is {self.max_message_bytes} and must be at most "
                f"intake.max_stream_bytes, which is {self.max_stream_bytes}"
            )


class BatchSettings(_Settings, frozen=True):
    """When a batch is cut, and from whom."""

    num_groups: Annotated[
        int, Meta(ge=1, le=65_536, description="groups of one optimizer step")
    ] = 16
    actor_share: Annotated[
        float,
        Meta(gt=0, le=1, description="an actor's largest share of a batch that others can fill"),
    ] = 0.5
    actor_cap: Annotated[
        float, Meta(gt=0, le=1, description="an actor's largest share of any batch; 1 means no cap")
    ] = 1.0
    no_signal_limit: Annotated[
        PositiveInt, Meta(description="consecutive groups without signal that pause the run")
    ] = 512


class DppoSettings(_Settings, frozen=True, tag_field="kind", tag="dppo"):
    """Trust region in probability space, see `learner.trainer.losses.dppo`."""

    mask_low: Annotated[
        float, Meta(gt=0, le=1, description="dppo: a token whose probability fell more is masked")
    ] = 0.2
    mask_high: Annotated[
        float, Meta(gt=0, le=1, description="dppo: a token whose probability rose more is masked")
    ] = 0.2
    kl_weight: Annotated[
        float, Meta(ge=0, le=10, description="dppo: weight of the squared log-ratio to the actor")
    ] = 1e-3


class PpoSettings(_Settings, frozen=True, tag_field="kind", tag="ppo"):
    """Clipped importance ratio, see `learner.trainer.losses.ppo`."""

    clip_low: Annotated[
        float,
        Meta(gt=0, lt=1, description="ppo: the ratio to the actor is clipped below 1 less this"),
    ] = 0.2
    clip_high: Annotated[
        float,
        Meta(gt=0, le=10, description="ppo: the ratio to the actor is clipped above 1 plus this"),
    ] = 0.28


class TrainerSettings(_Settings, frozen=True):
    """The optimizer's loop."""

    num_steps: Annotated[PositiveInt, Meta(description="optimizer steps of the run")] = 200
    num_ranks: Annotated[
        int, Meta(ge=1, le=65_536, description="processes that train together")
    ] = 1
    num_threads: Annotated[int, Meta(ge=1, le=1024, description="CPU threads of each rank")] = 1
    learning_rate: Annotated[
        float, Meta(gt=0, le=1, description="step size of the optimizer after the warm-up")
    ] = 2e-4
    warmup_steps: Annotated[
        int, Meta(ge=0, le=2**31, description="steps over which the learning rate rises linearly")
    ] = 10
    beta1: Annotated[
        float, Meta(ge=0, lt=1, description="decay of Adam's mean of the gradients")
    ] = 0.9
    beta2: Annotated[
        float, Meta(ge=0, lt=1, description="decay of Adam's mean of the squared gradients")
    ] = 0.95
    weight_decay: Annotated[
        float, Meta(ge=0, le=1, description="of AdamW, as a share of the learning rate")
    ] = 0.0
    max_grad_norm: Annotated[
        float, Meta(gt=0, le=1e6, description="longer gradients are scaled down to this norm")
    ] = 1.0
    token_budget: Annotated[PositiveInt, Meta(description="tokens of one packed micro-batch")] = 768
    checkpoint_every: Annotated[PositiveInt, Meta(description="steps between two checkpoints")] = 10
    keep_checkpoints: Annotated[
        PositiveInt, Meta(description="latest checkpoints that stay on the disk")
    ] = 2
    loss: Annotated[
        DppoSettings | PpoSettings, Meta(description="what is minimised for each token")
    ] = DppoSettings()


class RunSettings(_Settings, frozen=True):
    """All that decides what the model learns; written into the log when the run is opened."""

    name: Annotated[Token, Meta(description="names the run's folder, streams and objects")]
    seed: Annotated[
        int,
        Meta(ge=0, le=2**63 - 1, description="what weights, tasks and samples are drawn from"),
    ] = 0
    model: ModelSettings = ModelSettings()
    environment: EnvironmentSettings = EnvironmentSettings()
    sft: SftSettings = SftSettings()
    sampling: SamplingSettings = SamplingSettings()
    leases: LeaseSettings = LeaseSettings()
    intake: IntakeSettings = IntakeSettings()
    batch: BatchSettings = BatchSettings()
    trainer: TrainerSettings = TrainerSettings()

    def __post_init__(self) -> None:
        # How long a prompt is, only the environment knows: see `environments.fit`.
        if self.sampling.max_new_tokens >= self.model.max_positions:
            raise ValueError(
                f"sampling.max_new_tokens is {self.sampling.max_new_tokens} and must be below "
                f"model.max_positions, which is {self.model.max_positions}: prompt and answer "
                "share the positions"
            )


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
    engine: Annotated[Literal["torch"], Meta(description="what generates")] = "torch"
    dtype: Annotated[
        Literal["float32", "bfloat16"], Meta(description="numbers that the engine computes with")
    ] = "float32"
    num_threads: Annotated[int, Meta(ge=1, le=1024, description="CPU threads of the engine")] = 1
    max_leases: Annotated[int, Meta(ge=1, le=64, description="leases in flight at once")] = 4
    max_sequences: Annotated[PositiveInt, Meta(description="sequences generated at once")] = 64
    heartbeat_s: Annotated[Seconds, Meta(description="seconds between two heartbeats")] = 2.0
    drain_s: Annotated[Seconds, Meta(description="seconds to finish in on SIGTERM")] = 30.0
    spool_mib: Annotated[
        PositiveInt,
        Meta(description="MiB of finished groups kept while the broker is away; then it waits"),
    ] = 64


def run_settings(settings: LearnerSettings) -> RunSettings:
    """The part of the learner's settings that the log records."""
    return RunSettings(**{name: getattr(settings, name) for name in RunSettings.__struct_fields__})
