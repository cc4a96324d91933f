"""What a policy is, how to get it, and the word that there is a new one."""

from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from schemas.types import Count, Index, Sha256, Token

Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}\Z")]
"""One path component: no separator, no leading dot."""
Figure = Annotated[float, Meta(ge=-1e39, le=1e39)]
"""Any float32 but NaN and infinity, so that whoever sums or draws figures need not look."""


class PolicyId(NamedTuple):
    """Names a policy; policies are ordered by (incarnation, version). Staleness orders them by
    (version, incarnation)."""

    incarnation: Index
    """Counts starts of the trainer under new numerics, from 1."""
    version: Index
    """Number of optimizer steps taken."""

    @property
    def freshness(self) -> tuple[int, int]:
        """Sorts policies as staleness does: by optimizer steps, then by incarnation."""
        return self.version, self.incarnation

    def suffices(self, least: "PolicyId") -> bool:
        """True when a lease that asks for `least` may be fulfilled with this policy.

        Both parts count. A lease asks for a version because of the staleness limit, which counts
        optimizer steps alone: a later incarnation may go on from an earlier version, and is then
        too old however late it began. It asks for an incarnation because the trainer has left the
        ones before it: what was leased under them stays valid, nothing more is asked of them.

        >>> PolicyId(2, 7).suffices(PolicyId(1, 7)), PolicyId(2, 3).suffices(PolicyId(1, 7))
        (True, False)
        >>> PolicyId(1, 9).suffices(PolicyId(2, 5))
        False
        """
        return self.incarnation >= least.incarnation and self.version >= least.version

    def __str__(self) -> str:
        return f"{self.incarnation}-{self.version}"


class PolicyKind(StrEnum):
    FULL = "full"
    """Every tensor of the model."""


class TensorEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tensor of a policy."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    dtype: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,16}\Z")]
    """As in safetensors, lower case: f32, bf16."""
    shape: Annotated[tuple[Count, ...], Meta(max_length=8)]
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    """Of the tensor's content: the formula is in docs/messages.md, under Digests of weights."""


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a policy's folder."""

    name: FileName
    size: Count
    """Bytes."""
    sha256: Sha256


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fixed text whose log-probabilities every engine recomputes before it serves a policy."""

    token_ids: Annotated[bytes, Meta(min_length=8, max_length=4 * 4096)]
    """u32; N tokens."""
    logprobs: Annotated[bytes, Meta(min_length=4, max_length=4 * 4096)]
    """f32; N - 1 values: of each token after the first, given those before it."""


class PolicyManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says what a policy is. Written once, signed with the run's key."""

    run: Token
    policy: PolicyId
    kind: PolicyKind
    """Reserved, for adapters on a base: a reader refuses a kind that it does not know."""
    weights_digest: Sha256
    """Over all tensor entries, likewise: equal digests mean bit-equal weights."""
    tensors: Annotated[tuple[TensorEntry, ...], Meta(min_length=1, max_length=100_000)]
    files: Annotated[tuple[FileEntry, ...], Meta(max_length=64)]
    """Tokenizer and configuration."""
    renderer: Sha256
    """Identity of the renderer that its prompts are made with."""
    probe: Probe
    previous_sha256: Sha256 | None
    """Of the manifest of the policy before it; None for the initial policy. Reserved, for walking
    back from any policy to the first without the logs."""


class PathManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says one way to get a policy: an anchor, a plain Hugging Face folder file by file."""

    run: Token
    policy: PolicyId
    weights_digest: Sha256
    """As in the policy manifest: binds this way to what it must lead to."""
    files: Annotated[tuple[FileEntry, ...], Meta(min_length=1, max_length=4096)]


class Signed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest's wire bytes with the signature in the same object: one write, never half."""

    payload: Annotated[bytes, Meta(max_length=64 << 20)]
    signature: Signature


class StepMetrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the trainer saw in the step that made a policy. All zero for an initial policy; what was
    not finite in a step that was skipped is 0, and `StepSkipped` says it."""

    loss: Figure = 0.0
    grad_norm: Figure = 0.0
    """Before clipping."""
    learning_rate: Figure = 0.0
    entropy: Figure = 0.0
    """Mean over trainable tokens, in nats."""
    mismatch_kl: Figure = 0.0
    """k3 estimate of KL(behaviour || trainer), mean over trainable tokens, in nats; no ratio
    counts for more than 10."""
    masked_fraction: Figure = 0.0
    """Of trainable tokens, those that the loss's trust region leaves out."""
    num_tokens: Count = 0
    """Trainable tokens."""
    num_packed_tokens: Count = 0
    """Tokens that went through the model, prompts included."""
    step_s: Figure = 0.0
    """Forward, backward and update."""
    publish_s: Figure = 0.0
    """Writing the policy before this one to object storage."""
    waited_s: Figure = 0.0
    """Waiting for the batch."""


class PolicyAnnouncement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Word that a policy can be had: the trainer's log entry that says that a step was trained."""

    run: Token
    policy: PolicyId
    manifest_sha256: Sha256
    """Of the whole object that has the policy manifest, signature included."""
    signature: Signature
    """Ed25519 over run, policy and manifest_sha256; docs/messages.md has the text."""
    instance: Token
    """Of the trainer that wrote it."""
    metrics: StepMetrics = StepMetrics()


def announcement_text(run: str, policy: PolicyId, manifest_sha256: str) -> bytes:
    """The bytes that an announcement's signature covers."""
    return f"tributary announcement\n{run}\n{policy}\n{manifest_sha256}\n".encode()
