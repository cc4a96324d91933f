"""The actor's engine against `generate` of transformers: tokens/s of sampling.

The same model, prompts and thread, 64 completions of 32 tokens each, none of which stops early.
Both sides give each sampled token and its log-probability under the model at temperature 1, because
the trainer needs both; both take all rows as one batch, padded on the left, with a KV cache. Two
loads: groups (8 prompts, 8 completions of each), where the engine runs each prompt once, and 64
different prompts, where there is nothing to share. The engine also draws its noise from the lease's
seed, which `generate` does not do.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from actors.decoding import chosen_logprobs
from actors.torch_engine import TorchEngine
from benchmarks.table import Figure, of_rounds
from learner.trainer.model import build_model, save_folder
from schemas.lease import Sampling
from schemas.model_settings import ModelSettings
from schemas.policy import PolicyId

_VOCABULARY = 48
_NUM_ROWS = 64
_GROUP_SIZE = 8
_NUM_TOKENS = 32
_PROMPT_TOKENS = (16, 96)
"""Least and most."""
_NEVER = (_VOCABULARY,)
"""A stop id outside the vocabulary."""
Prompts = list[tuple[int, ...]]


def make_prompts(chance: random.Random, num_different: int) -> Prompts:
    """One prompt for each of the rows, so many of them different."""
    prompts = [
        tuple(chance.choices(range(6, _VOCABULARY), k=chance.randint(*_PROMPT_TOKENS)))
        for _ in range(num_different)
    ]
    return [prompts[row * num_different // _NUM_ROWS] for row in range(_NUM_ROWS)]


def measure(num_rounds: int = 11) -> list[Figure]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_folder(build_model(ModelSettings(), _VOCABULARY, 0), folder)
        return asyncio.run(_measure(folder, num_rounds))


async def _measure(folder: Path, num_rounds: int) -> list[Figure]:
    loads = {"groups of 8": _NUM_ROWS // _GROUP_SIZE, "all prompts different": _NUM_ROWS}
    engine = TorchEngine(max_sequences=_NUM_ROWS, num_threads=1)
    await engine.load(folder, PolicyId(1, 0))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    figures = []
    for load, num_different in loads.items():
        prompts = make_prompts(random.Random(0), num_different)
        theirs_s, ours_s = [], []
        for _ in range(num_rounds + 1):
            theirs_s.append(_generate(model, prompts))
            ours_s.append(await _engine(engine, prompts))
        del theirs_s[0], ours_s[0]  # The first round warms up.
        num_tokens = _NUM_ROWS * _NUM_TOKENS
        how = (
            f"one thread, {_NUM_ROWS} rows of {_NUM_TOKENS} sampled tokens; "
            f"ours {num_tokens / min(ours_s):.0f}, theirs {num_tokens / min(theirs_s):.0f} "
            "tokens/s at best"
        )
        ratios = [theirs / ours for theirs, ours in zip(theirs_s, ours_s, strict=True)]
        name = f"actor: engine / transformers generate, {load}"
        figures.append(of_rounds(ratios, name=name, unit="x", aim="above 1", how=how))
    await engine.close()
    return figures


async def _engine(engine: TorchEngine, prompts: Prompts) -> float:
    sampling = Sampling(max_new_tokens=_NUM_TOKENS, stop_ids=_NEVER)
    began = time.perf_counter()
    calls = [engine.generate(prompt, sampling, seed=row) for row, prompt in enumerate(prompts)]
    generated = await asyncio.gather(*calls)
    elapsed = time.perf_counter() - began
    assert all(len(one.logprobs) == _NUM_TOKENS for one in generated)
    return elapsed


def _generate(model: PreTrainedModel, prompts: Prompts) -> float:
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=_NUM_TOKENS,
        # The folder's config.json says false, because training needs no cache; without one
        # `generate` runs the whole sequence for every token.
        use_cache=True,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    began = time.perf_counter()
    longest = max(len(prompt) for prompt in prompts)
    ids = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    attended = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    generate: Any = model.generate
    with torch.inference_mode():
        output = generate(
            torch.tensor(ids), attention_mask=torch.tensor(attended), generation_config=config
        )
        sampled_B_T = output.sequences[:, longest:]
        logprobs_B_T = chosen_logprobs(torch.stack(output.logits, dim=1), sampled_B_T).tolist()
    elapsed = time.perf_counter() - began
    assert len(logprobs_B_T[0]) == _NUM_TOKENS
    return elapsed
