"""Runs an environment on what a rollout says was sampled, and trusts none of it.

The environment gets the recorded completions where an actor gives it an engine. All that it
renders must be what the rollout has there; the reward then follows from tokens alone. Only the
learner does this, so numpy is at hand: long arrays are looked at fifty times faster with it.
"""

from typing import NoReturn

import numpy as np

from environments.interface import Completion, Environment, Interaction
from schemas import arrays
from schemas.errors import Rejected
from schemas.lease import Sampling
from schemas.rollout import Finish, Rollout, check_shape
from schemas.verdict import Reason

_LONG = 256
"""Values, from which on a call of numpy costs less than a loop of Python."""
_NUMPY_CODES = {"I": "<u4", "f": "<f4"}


async def verify(
    environment: Environment, task: int, rollout: Rollout, sampling: Sampling
) -> Interaction:
    """Run the task again with the rollout's own completions; waits for nothing outside.

    Raises:
        Rejected: Reason.TOKENS, when an array's shape or values are wrong or a completion does not
            end as sampling ends; Reason.RENDERING, when a token that was not sampled is not what
            the environment renders, or the turns are more or fewer than it has.
    """
    check_shape(rollout, environment.vocabulary_size, _extremes)
    if rollout.trace:
        # What nobody reads would only be kept for ever.
        raise Rejected(Reason.RENDERING, "the environment needs no trace")
    recorded = _Recorded(rollout, sampling)
    interaction = await environment.run(task, recorded.sample)
    recorded.check_end(interaction)
    return interaction


def _extremes(code: arrays.Code, data: bytes) -> tuple[float, float]:
    """As `schemas.arrays.extremes`, faster."""
    if len(data) < 4 * _LONG:
        return arrays.extremes(code, data)
    values = np.frombuffer(data, _NUMPY_CODES[code])
    return values.min().item(), values.max().item()


class _Recorded:
    """Hands out a rollout's completions in order, and checks the tokens between them."""

    def __init__(self, rollout: Rollout, sampling: Sampling) -> None:
        self._token_ids = tuple(arrays.unpack_u32(rollout.token_ids))
        self._packed = rollout.token_ids
        self._mask = rollout.loss_mask
        self._said = rollout.finish
        self._sampling = sampling
        self._end = 0
        """Behind the last completion handed out."""

    async def sample(self, token_ids: tuple[int, ...]) -> Completion:
        """The completion that the rollout has behind these tokens."""
        start = len(token_ids)
        self._check_rendered(token_ids, start)
        end = self._mask.find(0, start)
        self._end = end if end >= 0 else len(self._mask)
        return Completion(
            token_ids=self._token_ids[start : self._end], finish=self._finish_of(start, self._end)
        )

    def _check_rendered(self, token_ids: tuple[int, ...], start: int) -> None:
        if start >= len(self._mask):
            raise Rejected(
                Reason.RENDERING,
                f"the rollout ends at token {len(self._mask)}; the environment asks for a "
                f"completion at {start}",
            )
        found = self._token_ids[self._end : start]
        if found != token_ids[self._end :] or any(self._mask[self._end : start]):
            self._refuse_rendered(found, token_ids)
        if self._mask[start] == 0:
            raise Rejected(
                Reason.RENDERING,
                f"token {start} is marked as rendered; the environment asks for a completion there",
            )

    def _refuse_rendered(self, found: tuple[int, ...], token_ids: tuple[int, ...]) -> NoReturn:
        """Raise for the first token that the environment renders otherwise."""
        for position, token_id in enumerate(found, self._end):
            if self._mask[position] == 1:
                raise Rejected(
                    Reason.RENDERING,
                    f"token {position} is marked as sampled; the environment renders it",
                )
            if token_id != token_ids[position]:
                raise Rejected(
                    Reason.RENDERING,
                    f"token {position} is {token_id}; the environment renders "
                    f"{token_ids[position]}",
                )
        raise AssertionError("called for a difference")

    def check_end(self, interaction: Interaction) -> None:
        if self._end != len(self._mask):
            raise Rejected(
                Reason.RENDERING,
                f"the interaction ends at token {self._end}; the rollout has {len(self._mask)}",
            )
        if self._said is not interaction.finish:
            raise Rejected(
                Reason.TOKENS, f"finish is {self._said}; its tokens say {interaction.finish}"
            )

    def _finish_of(self, start: int, end: int) -> Finish:
        """How the completion between these positions ended, if it is one that sampling can give."""
        num_sampled, limit = end - start, self._sampling.max_new_tokens
        stopped = self._token_ids[end - 1] in self._sampling.stop_ids
        if num_sampled > limit:
            raise Rejected(Reason.TOKENS, f"a completion has {num_sampled} tokens, limit {limit}")
        if self._has_stop(start, end - 1):
            raise Rejected(Reason.TOKENS, "a completion goes on behind a stop id")
        if not stopped and num_sampled < limit:
            raise Rejected(
                Reason.TOKENS,
                f"a completion ends without a stop id after {num_sampled} of {limit} tokens",
            )
        return Finish.STOP if stopped else Finish.LENGTH

    def _has_stop(self, start: int, end: int) -> bool:
        stop_ids = self._sampling.stop_ids
        if end - start < _LONG:
            return any(stop in self._token_ids[start:end] for stop in stop_ids)
        found = np.frombuffer(self._packed, "<u4")[start:end]
        return any((found == stop).any() for stop in stop_ids)
