"""How fast this machine samples, measured with a tiny model of our own."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from schemas.lease import Sampling
from schemas.policy import PolicyId
from schemas.settings import ActorSettings

_NUM_SEQUENCES: Final = 32
_NUM_TOKENS: Final = 64
_VOCABULARY: Final = 64


async def measure_speed(settings: ActorSettings) -> float:
    """Tokens per second of the actor's own engine with a tiny model."""
    from actors.torch_engine import TorchEngine

    engine = TorchEngine(
        dtype=settings.dtype, max_sequences=_NUM_SEQUENCES, num_threads=settings.num_threads
    )
    with tempfile.TemporaryDirectory() as folder:
        _save_tiny_model(Path(folder))
        await engine.load(Path(folder), PolicyId(1, 0))
    sampling = Sampling(max_new_tokens=_NUM_TOKENS, stop_ids=(_VOCABULARY - 1,))
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        completions = [
            tasks.create_task(engine.generate((1, 2, 3), sampling, seed=seed))
            for seed in range(_NUM_SEQUENCES)
        ]
    seconds = time.perf_counter() - started
    await engine.close()
    return sum(len(completion.result().token_ids) for completion in completions) / seconds


def _save_tiny_model(folder: Path) -> None:
    from transformers import Glm4MoeConfig, Glm4MoeForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    config = Glm4MoeConfig(
        vocab_size=_VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        moe_intermediate_size=32,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        first_k_dense_replace=1,
        num_mtp_layers=0,
        max_position_embeddings=128,
    )
    Glm4MoeForCausalLM(config).save_pretrained(folder)
