"""The trainer's events beside announcements (`schemas.policy.PolicyAnnouncement`)."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.types import Count, Index, Sha256, Token


class Numerics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides the bits of a step beside its inputs. Under equal numerics a step repeated
    gives equal bits."""

    world_size: Annotated[int, Meta(ge=1, le=65_536)]
    num_threads: Annotated[int, Meta(ge=1, le=4096)]
    """Of each rank."""
    device: Annotated[str, Meta(max_length=128)]
    dtype: Token
    token_budget: Count
    deterministic: bool
    attention: Token
    experts: Token
    torch_version: Annotated[str, Meta(max_length=64)]
    transformers_version: Annotated[str, Meta(max_length=64)]
    cpu: Annotated[str, Meta(max_length=64)]
    """The instruction set that torch's kernels use, such as AVX512."""
    cpu_model: Annotated[str, Meta(max_length=128)]
    """As its maker names it: MKL and oneDNN choose code by it."""
    mkl: Token
    """The mode of MKL's conditional numerical reproducibility."""


class _Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class TrainerStarted(_Event, frozen=True):
    """A trainer took over the log of policies. Identity: its instance."""

    instance: Token
    host: Annotated[str, Meta(max_length=255)]
    pid: Count
    """For a person who looks for the process."""


class IncarnationStarted(_Event, frozen=True):
    """From here on policies are made under these numerics. Identity: the incarnation."""

    instance: Token
    incarnation: Index
    numerics: Numerics
    resumed_from: Index
    """The version that it goes on from; 0 for the first incarnation."""


class StepSkipped(_Event, frozen=True):
    """The update of this step was not finite, and left out. Identity: incarnation and step."""

    instance: Token
    incarnation: Index
    step: Index
    detail: Annotated[str, Meta(max_length=200)]


class PoliciesRestored(_Event, frozen=True):
    """Everything before this entry comes from a backup. The run may have announced more policies
    since, which actors have seen: from here on they are made in the next incarnation, so that no
    two have one name. Written by `broker restore`. Identity: its instance."""

    instance: Token
    """Of the restore."""
    backup_sha256: Sha256
    """Of the backup's manifest."""


TrainerEvent = TrainerStarted | IncarnationStarted | StepSkipped | PoliciesRestored


class TrainerEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One write to the trainer's log."""

    event: TrainerEvent
