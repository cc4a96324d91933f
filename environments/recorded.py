"""Runs an environment on what a rollout says was sampled, and trusts none of it.

The environment gets the recorded completions where an actor gives it an engine. All that it
renders must be what the rollout has there; the reward then follows from tokens alone.
"""

from msgspec import Struct

from environments.interface import Completion, Environment, Interaction
from schemas.arrays import unpack_u32
from schemas.errors import Rejected
from schemas.lease import Sampling
from schemas.rollout import Finish, Rollout, check_shape
from schemas.verdict import Reason


class Assembled(Struct, frozen=True, kw_only=True):
    """An interaction as a rollout carries it. T tokens."""

    token_ids: tuple[int, ...]
    """T values."""
    loss_mask: bytes
    """T values: 1 where the policy sampled the token."""


def assemble(interaction: Interaction) -> Assembled:
    """Join the turns of an interaction."""
    turns = interaction.turns
    return Assembled(
        token_ids=tuple([i for turn in turns for i in turn.token_ids]),
        loss_mask=b"".join(bytes([turn.sampled]) * len(turn.token_ids) for turn in turns),
    )


async def verify(
    environment: Environment, task: int, rollout: Rollout, sampling: Sampling
) -> Interaction:
    """Run the task again with the rollout's own completions; waits for nothing outside.

    Raises:
        Rejected: Reason.TOKENS, when an array's shape or values are wrong or a completion does not
            end as sampling ends; Reason.RENDERING, when a token that was not sampled is not what
            the environment renders, or the turns are more or fewer than it has.
    """
    check_shape(rollout, environment.vocabulary_size)
    if rollout.trace:
        # What nobody reads would only be kept for ever.
        raise Rejected(Reason.RENDERING, "the environment needs no trace")
    recorded = _Recorded(rollout, sampling)
    interaction = await environment.run(task, recorded.sample)
    recorded.check_end(interaction)
    return interaction


class _Recorded:
    """Hands out a rollout's completions in order, and checks the tokens between them."""

    def __init__(self, rollout: Rollout, sampling: Sampling) -> None:
        self._token_ids = tuple(unpack_u32(rollout.token_ids))
        self._mask = rollout.loss_mask
        self._finish = rollout.finish
        self._sampling = sampling
        self._end = 0
        """Behind the last completion handed out."""

    async def sample(self, token_ids: tuple[int, ...]) -> Completion:
        """The completion that the rollout has behind these tokens."""
        start = len(token_ids)
        self._check_rendered(token_ids, start)
        end = self._mask.find(0, start)
        self._end = end if end >= 0 else len(self._mask)
        sampled = self._token_ids[start : self._end]
        return Completion(token_ids=sampled, finish=_finish(sampled, self._sampling))

    def _check_rendered(self, token_ids: tuple[int, ...], start: int) -> None:
        if start >= len(self._mask):
            raise Rejected(
                Reason.RENDERING,
                f"the rollout ends at token {len(self._mask)}; the environment asks for a "
                f"completion at {start}",
            )
        for position in range(self._end, start):
            if self._mask[position] == 1:
                raise Rejected(
                    Reason.RENDERING,
                    f"token {position} is marked as sampled; the environment renders it",
                )
            if self._token_ids[position] != token_ids[position]:
                raise Rejected(
                    Reason.RENDERING,
                    f"token {position} is {self._token_ids[position]}; the environment renders "
                    f"{token_ids[position]}",
                )
        if self._mask[start] == 0:
            raise Rejected(
                Reason.RENDERING,
                f"token {start} is marked as rendered; the environment asks for a completion there",
            )

    def check_end(self, interaction: Interaction) -> None:
        if self._end != len(self._mask):
            raise Rejected(
                Reason.RENDERING,
                f"the interaction ends at token {self._end}; the rollout has {len(self._mask)}",
            )
        if self._finish is not interaction.finish:
            raise Rejected(
                Reason.TOKENS, f"finish is {self._finish}; its tokens say {interaction.finish}"
            )


def _finish(sampled: tuple[int, ...], sampling: Sampling) -> Finish:
    """How a completion ended, if it is one that sampling can give."""
    stops = sorted(sampled.index(stop) for stop in sampling.stop_ids if stop in sampled)
    if len(sampled) > sampling.max_new_tokens:
        raise Rejected(
            Reason.TOKENS,
            f"a completion has {len(sampled)} tokens, limit {sampling.max_new_tokens}",
        )
    if stops and stops[0] < len(sampled) - 1:
        raise Rejected(Reason.TOKENS, "a completion goes on behind a stop id")
    if not stops and len(sampled) < sampling.max_new_tokens:
        raise Rejected(
            Reason.TOKENS,
            f"a completion ends without a stop id after {len(sampled)} of "
            f"{sampling.max_new_tokens} tokens",
        )
    return Finish.STOP if stops else Finish.LENGTH
