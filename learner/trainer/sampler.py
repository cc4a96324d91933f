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
        self._stop_ids = frozenset(stop_ids)
        self._max_new_tokens = max_new_tokens
        self._generator = torch.Generator().manual_seed(seed)

    def complete(self, prompts: Sequence[tuple[int, ...]]) -> list[SampledCompletion]:
        """One completion for each prompt, in their order; prompts of equal length share a batch."""
        completions: dict[int, SampledCompletion] = {}
        for length in sorted({len(prompt) for prompt in prompts}):
            members = [index for index, prompt in enumerate(prompts) if len(prompt) == length]
            batch = self._complete_batch([prompts[index] for index in members])
            completions.update(zip(members, batch, strict=True))
        return [completions[index] for index in range(len(prompts))]

    @torch.no_grad()
    def _complete_batch(self, prompts: Sequence[tuple[int, ...]]) -> list[SampledCompletion]:
        """B prompts of one length. Rows that have stopped are drawn on and cut off at the end."""
        cache = DynamicCache(config=self._model.config)
        fed_BT = torch.tensor(prompts, device=self._model.device)
        drawn: list[list[int]] = []
        logprobs: list[list[float]] = []
        stopped = [False] * len(prompts)
        while len(drawn) < self._max_new_tokens and not all(stopped):
            hidden_BTH = self._model.model(
                input_ids=fed_BT, past_key_values=cache, use_cache=True
            ).last_hidden_state
            logprobs_BV = self._model.lm_head(hidden_BTH[:, -1]).float().log_softmax(dim=-1).cpu()
            tokens_B1 = torch.multinomial(logprobs_BV.exp(), 1, generator=self._generator)
            drawn.append(tokens_B1[:, 0].tolist())
            logprobs.append(logprobs_BV.gather(1, tokens_B1)[:, 0].tolist())
            stopped = [
                before or token in self._stop_ids
                for before, token in zip(stopped, drawn[-1], strict=True)
            ]
            fed_BT = tokens_B1.to(self._model.device)
        rows = zip(zip(*drawn, strict=True), zip(*logprobs, strict=True), strict=True)
        return [self._cut(tokens, values) for tokens, values in rows]

    def _cut(self, tokens: Sequence[int], logprobs: Sequence[float]) -> SampledCompletion:
        stops = (place for place, token in enumerate(tokens) if token in self._stop_ids)
        count = next(stops, len(tokens) - 1) + 1
        return SampledCompletion(
            token_ids=tuple(tokens[:count]),
            finish=Finish.STOP if tokens[count - 1] in self._stop_ids else Finish.LENGTH,
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
