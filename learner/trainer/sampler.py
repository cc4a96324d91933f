"""Rollouts sampled on the learner's side, to see how good supervised fine-tuning has got.

Many rollouts of an environment go forward in lockstep: when every unfinished one waits for its next
completion, all completions are generated together. Draws come from one seeded generator, in an
order that does not depend on timing.
"""

import asyncio
from collections.abc import Sequence

import torch
from msgspec import Struct
from transformers import DynamicCache, Glm4MoeForCausalLM

from environments.interface import Completion, Environment, Interaction
from schemas.rollout import Finish


class SampledCompletion(Completion, frozen=True, kw_only=True):
    """A completion and what the model thought of it."""

    logprobs: tuple[float, ...]
    """One per token, in nats, at temperature 1."""


class Sampler:
    """Draws completions from a model at temperature 1."""

    def __init__(
        self,
        model: Glm4MoeForCausalLM,
        *,
        stop_ids: Sequence[int],
        max_new_tokens: int,
        seed: int,
    ) -> None:
        self._model = model
        self._stop_ids = torch.tensor(stop_ids)
        self._max_new_tokens = max_new_tokens
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def complete(self, prompts: Sequence[tuple[int, ...]]) -> list[SampledCompletion]:
        """One completion for each prompt, in their order.

        All rows begin with as much as the shortest prompt has; a row with a longer one is fed its
        own tokens until it ends. So rows of different lengths share a batch without padding.
        """
        lengths_B = torch.tensor([len(prompt) for prompt in prompts])
        shortest, end = int(lengths_B.min()), int(lengths_B.max()) + self._max_new_tokens
        tokens_BT = torch.zeros(len(prompts), end, dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            tokens_BT[row, : len(prompt)] = torch.tensor(prompt)
        logprobs_BT = torch.zeros(len(prompts), end)
        cache = DynamicCache(config=self._model.config)
        fed = slice(0, shortest)
        going_B = torch.ones(len(prompts), dtype=torch.bool)
        for place in range(shortest, end):
            logprobs_BV = self._next_logprobs(tokens_BT[:, fed], cache)
            drawn_B1 = torch.multinomial(logprobs_BV.exp(), 1, generator=self._generator)
            given_B = place < lengths_B
            tokens_BT[:, place] = torch.where(given_B, tokens_BT[:, place], drawn_B1[:, 0])
            logprobs_BT[:, place] = logprobs_BV.gather(1, drawn_B1)[:, 0]
            ended_B = torch.isin(drawn_B1[:, 0], self._stop_ids)
            ended_B |= place + 1 >= lengths_B + self._max_new_tokens
            going_B &= given_B | ~ended_B
            if not going_B.any():
                break
            fed = slice(place, place + 1)
        return [
            self._cut(tokens[length:], logprobs[length:])
            for tokens, logprobs, length in zip(
                tokens_BT.tolist(), logprobs_BT.tolist(), lengths_B.tolist(), strict=True
            )
        ]

    def _next_logprobs(self, fed_BT: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        hidden_BTH = self._model.model(
            input_ids=fed_BT.to(self._model.device), past_key_values=cache, use_cache=True
        ).last_hidden_state
        return self._model.lm_head(hidden_BTH[:, -1]).float().log_softmax(dim=-1).cpu()

    def _cut(self, tokens: Sequence[int], logprobs: Sequence[float]) -> SampledCompletion:
        """Rows were drawn on until all had ended: what lies behind a row's own end goes."""
        own = tokens[: self._max_new_tokens]
        stops = (place for place, token in enumerate(own) if token in self._stop_ids)
        count = next(stops, len(own) - 1) + 1
        return SampledCompletion(
            token_ids=tuple(own[:count]),
            finish=Finish.STOP if own[count - 1] in self._stop_ids else Finish.LENGTH,
            logprobs=tuple(logprobs[:count]),
        )


class SampledRollout(Struct, frozen=True, kw_only=True):
    """A finished rollout."""

    interaction: Interaction
    logprobs: tuple[float, ...]
    """Of all sampled tokens, in order."""


async def run_tasks(
    environment: Environment, tasks: Sequence[int], sampler: Sampler
) -> list[SampledRollout]:
    """One rollout of each task (a task may come several times), in lockstep."""
    lockstep = _Lockstep(sampler, len(tasks))

    async def run(task: int) -> SampledRollout:
        logprobs: list[float] = []

        async def sample(token_ids: tuple[int, ...]) -> Completion:
            completion = await lockstep.sample(token_ids)
            logprobs.extend(completion.logprobs)
            return completion

        try:
            interaction = await environment.run(task, sample)
        finally:
            lockstep.leave()
        return SampledRollout(interaction=interaction, logprobs=tuple(logprobs))

    return list(await asyncio.gather(*map(run, tasks)))


class _Lockstep:
    """Holds requests back until every unfinished rollout has made one."""

    def __init__(self, sampler: Sampler, num_running: int) -> None:
        self._sampler = sampler
        self._num_running = num_running
        self._waiting: list[tuple[tuple[int, ...], asyncio.Future[SampledCompletion]]] = []

    async def sample(self, token_ids: tuple[int, ...]) -> SampledCompletion:
        answer: asyncio.Future[SampledCompletion] = asyncio.get_running_loop().create_future()
        self._waiting.append((token_ids, answer))
        self._complete_if_all_wait()
        return await answer

    def leave(self) -> None:
        self._num_running -= 1
        self._complete_if_all_wait()

    def _complete_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._num_running:
            return
        waiting, self._waiting = self._waiting, []
        completions = self._sampler.complete([prompt for prompt, _ in waiting])
        for (_, answer), completion in zip(waiting, completions, strict=True):
            answer.set_result(completion)
