"""What an environment is.

An environment runs one rollout given something that samples. The actor gives it an engine. The
learner gives it the recorded completions (`environments.recorded`), so that every token that was
not sampled is rendered again and compared, and the reward is computed from tokens alone.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from schemas.lease import EnvironmentRef
from schemas.rollout import Finish


class Completion(Struct, frozen=True, kw_only=True):
    """What the policy said in one turn."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the stop id included if one was sampled."""
    finish: Finish


Sample = Callable[[tuple[int, ...]], Awaitable[Completion]]
"""Samples a completion behind these token ids: all of the rollout so far, never rendered again."""


class Turn(Struct, frozen=True, kw_only=True):
    """A stretch of a rollout's tokens."""

    token_ids: tuple[int, ...]
    sampled: bool
    """True: by the policy. False: rendered by the environment."""


class Part(Struct, frozen=True, kw_only=True):
    """A named figure of a rollout, such as exact match or partial credit; 0 to 1."""

    name: str
    value: float


class Interaction(Struct, frozen=True, kw_only=True):
    """A finished rollout as the environment saw it."""

    turns: tuple[Turn, ...]
    """Alternating, the first one rendered, the last one sampled."""
    finish: Finish
    """Of the last completion."""
    reward: float
    """The part that is trained on."""
    parts: tuple[Part, ...]


class Environment(Protocol):
    """Tasks by index, one rollout at a time. Holds no state between rollouts."""

    ref: EnvironmentRef
    renderer: str
    """sha256 over the renderer's name, version, tokenizer and a golden conversation's ids."""
    vocabulary_size: int
    stop_ids: tuple[int, ...]
    max_prompt_tokens: int
    """Longest that a rollout can get before its last completion, answers of tools included."""

    def prompt(self, task: int) -> tuple[int, ...]:
        """The rendered task. Every index from 0 to 2**53 is a task."""
        ...

    async def run(self, task: int, sample: Sample) -> Interaction:
        """One rollout, from the prompt to the reward."""
        ...

    def reference(self, task: int) -> tuple[Turn, ...]:
        """A perfect rollout of the task, for SFT: turns as in `Interaction`."""
        ...
