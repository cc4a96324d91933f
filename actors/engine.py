"""The seam to what generates tokens."""

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from schemas.lease import EngineProfile, Sampling
from schemas.policy import PolicyId
from schemas.rollout import Finish, VersionSpan


class Generated(Struct, frozen=True, kw_only=True):
    """One completion."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the stop id included if one was sampled."""
    logprobs: tuple[float, ...]
    """Of the model itself at temperature 1, float32, one per sampled token."""
    finish: Finish
    spans: tuple[VersionSpan, ...]


class Engine(Protocol):
    """Token ids in, token ids out. Calls to `generate` made side by side share decoding batches."""

    profile: EngineProfile
    policy: PolicyId | None
    """The policy that it serves; None before the first `load`."""

    async def generate(
        self, prompt: tuple[int, ...], sampling: Sampling, *, seed: int
    ) -> Generated:
        """Draw one completion.

        The same weights, prompt and seed give the same tokens in any batch: see `actors.sampling`.
        """
        ...

    async def logprobs(self, token_ids: tuple[int, ...]) -> tuple[float, ...]:
        """log p of each token after the first, given those before it: N ids, N - 1 values.

        Raises:
            PolicyUnloadable: the policy that it serves cannot be computed with these ids.
        """
        ...

    async def load(self, folder: Path, policy: PolicyId) -> None:
        """Take the weights of a Hugging Face folder; what is in flight is finished first.

        Raises:
            PolicyUnloadable: it keeps the weights that it has.
        """
        ...

    async def close(self) -> None: ...
