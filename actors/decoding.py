"""Decodes a batch of sequences with a transformers model and a KV cache.

Prompts are padded on the left, so that all draw their next token in the same column; equal prompts
(a group's members have one) go through the model once. A sequence leaves the batch, and its part of
the cache is dropped, at the step that ends it.

Dimensions: B sequences, U different prompts, P tokens of the longest prompt, V token ids.
"""

from typing import Any, Final

import torch
from msgspec import Struct
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from actors.sampling import draw
from schemas.lease import Sampling
from schemas.rollout import Finish

_PAD: Final = 0
"""Any id in the vocabulary: padding is masked."""


class Request(Struct, frozen=True, kw_only=True):
    """A completion to be drawn."""

    prompt: tuple[int, ...]
    sampling: Sampling
    seed: int


class Sequence:
    """A request and what has been drawn for it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.token_ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish: Finish | None = None
        """None while it is under way."""

    def extend(self, token_id: int, logprob: float) -> None:
        self.token_ids.append(token_id)
        self.logprobs.append(logprob)
        sampling = self.request.sampling
        if token_id in sampling.stop_ids:
            self.finish = Finish.STOP
        elif len(self.token_ids) == sampling.max_new_tokens:
            self.finish = Finish.LENGTH


class DecodingBatch:
    """Sequences under way. Use it on one thread, in inference mode."""

    def __init__(self, model: PreTrainedModel, sequences: list[Sequence]) -> None:
        self.sequences = sequences
        """Those that have not ended."""
        self._model = model
        self._cache = DynamicCache(config=model.config)
        device = model.device
        self._seeds_B = torch.tensor(
            [sequence.request.seed for sequence in sequences], device=device
        )
        lengths = [len(sequence.request.prompt) for sequence in sequences]
        self._positions_B = torch.tensor(lengths, device=device)
        """Of the next token, counted without padding."""
        self._logits_B_V, self._attended = self._prefill()

    def _prefill(self) -> tuple[Tensor, Tensor]:
        """Logits of each sequence's first token, and the mask of its prompt (shape B, P)."""
        prompts = list(dict.fromkeys(sequence.request.prompt for sequence in self.sequences))
        place = {prompt: u for u, prompt in enumerate(prompts)}
        longest = max(len(prompt) for prompt in prompts)
        ids = [[_PAD] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        attended = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        device = self._model.device
        ids_U_P = torch.tensor(ids, device=device)
        attended_U_P = torch.tensor(attended, device=device)
        logits_U_V = self._forward(ids_U_P, attended_U_P, attended_U_P.cumsum(1).sub_(1).clamp_(0))
        places = [place[sequence.request.prompt] for sequence in self.sequences]
        places_B = torch.tensor(places, device=device)
        self._cache.batch_select_indices(places_B)
        return logits_U_V[places_B], attended_U_P[places_B]

    def step(self) -> list[Sequence]:
        """Draw one token for each sequence; those that it ends leave the batch and are returned."""
        ids_B = draw(self._logits_B_V, self._seeds_B, self._positions_B)
        logprobs_B = chosen_logprobs(self._logits_B_V, ids_B)
        for sequence, token_id, logprob in zip(
            self.sequences, ids_B.tolist(), logprobs_B.tolist(), strict=True
        ):
            sequence.extend(token_id, logprob)
        ended = [sequence for sequence in self.sequences if sequence.finish]
        if ended:
            ids_B = self._drop_ended(ids_B)
        if self.sequences:
            self._attended = torch.nn.functional.pad(self._attended, (0, 1), value=1)
            self._logits_B_V = self._forward(
                ids_B.unsqueeze(1), self._attended, self._positions_B.unsqueeze(1)
            )
            self._positions_B = self._positions_B + 1
        return ended

    def _drop_ended(self, ids_B: Tensor) -> Tensor:
        kept = [b for b, sequence in enumerate(self.sequences) if not sequence.finish]
        self.sequences = [self.sequences[b] for b in kept]
        kept_B = torch.tensor(kept, dtype=torch.long, device=ids_B.device)
        self._seeds_B = self._seeds_B[kept_B]
        self._positions_B = self._positions_B[kept_B]
        self._attended = self._attended[kept_B]
        self._cache.batch_select_indices(kept_B)
        return ids_B[kept_B]

    def _forward(self, ids: Tensor, attended: Tensor, positions: Tensor) -> Tensor:
        """Logits behind the last column, of shape B, V; the cache grows by the columns of `ids`."""
        model: Any = self._model
        output = model(
            input_ids=ids,
            attention_mask=attended,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()


def chosen_logprobs(logits_N_V: Tensor, ids_N: Tensor) -> Tensor:
    """float32 log-probabilities of shape N: of each id under softmax(logits)."""
    return logits_N_V.float().log_softmax(-1).gather(-1, ids_N.unsqueeze(-1)).squeeze(-1)


def score(model: PreTrainedModel, token_ids: tuple[int, ...]) -> list[float]:
    """log p of each token after the first, in one forward pass without a cache."""
    ids = torch.tensor(token_ids, device=model.device)
    forward: Any = model
    logits = forward(input_ids=ids[None, :-1], use_cache=False).logits[0]
    return chosen_logprobs(logits, ids[1:]).tolist()
