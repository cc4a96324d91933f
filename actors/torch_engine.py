"""The engine that needs nothing but torch and transformers: the reference and the fallback.

    consumes    calls of `generate`, gathered into batches of at most `max_sequences` sequences
    produces    completions, each as soon as its sequence ends
    waits for   the one thread of the engine, on which batches, loads and scoring take turns

A batch runs to its end with one set of weights; what is asked meanwhile goes into the next one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeVar

import torch
import transformers
from msgspec import Struct
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from actors.decoding import DecodingBatch, Request, Sequence, score
from actors.engine import Generated
from schemas.errors import PolicyUnloadable
from schemas.lease import EngineProfile, Sampling
from schemas.policy import PolicyId
from schemas.rollout import VersionSpan

_DTYPES: Final = {"float32": (torch.float32, "f32"), "bfloat16": (torch.bfloat16, "bf16")}
"""Torch's type and the track of each."""
_UNUSABLE: Final = (ValueError, LookupError, OSError, RuntimeError, ImportError, SafetensorError)
"""How transformers and torch say that a folder is not one of a model that they can compute."""
T = TypeVar("T")


class _Call(Struct, frozen=True, kw_only=True, eq=False):
    """A call of `generate` that has no answer yet."""

    sequence: Sequence
    answer: asyncio.Future[Generated]


class TorchEngine:
    """See the module, and `actors.engine.Engine`."""

    def __init__(
        self,
        *,
        dtype: Literal["float32", "bfloat16"] = "float32",
        max_sequences: int = 64,
        num_threads: int = 1,
        max_context: int = 8192,
        device: str = "cpu",
    ) -> None:
        self._dtype, track = _DTYPES[dtype]
        self._device = device
        self._max_sequences = max_sequences
        self.policy: PolicyId | None = None
        self.profile = EngineProfile(
            engine="torch",
            version=f"torch {torch.__version__}, transformers {transformers.__version__}",
            dtype=dtype,
            track=track,
            max_context=max_context,
        )
        self._model: PreTrainedModel | None = None
        # Threads of torch's kernels are counted per calling thread.
        self._thread = ThreadPoolExecutor(
            1, "engine", initializer=torch.set_num_threads, initargs=(num_threads,)
        )
        self._turn = asyncio.Lock()
        self._waiting: deque[_Call] = deque()
        self._under_way: list[_Call] = []
        self._batches: asyncio.Task[None] | None = None
        self._closing = threading.Event()

    async def generate(
        self, prompt: tuple[int, ...], sampling: Sampling, *, seed: int
    ) -> Generated:
        """Draw one completion."""
        num_tokens = len(prompt) + sampling.max_new_tokens
        if num_tokens > self.profile.max_context:
            raise ValueError(f"{num_tokens} tokens are above {self.profile.max_context}")
        sequence = Sequence(Request(prompt=prompt, sampling=sampling, seed=seed))
        call = _Call(sequence=sequence, answer=asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._run_batches())
            self._batches.add_done_callback(self._batches_ended)
        return await call.answer

    async def logprobs(self, token_ids: tuple[int, ...]) -> tuple[float, ...]:
        """log p of each token after the first: N ids, N - 1 values."""
        async with self._turn:
            return await self._on_thread(self._score, token_ids)

    async def load(self, folder: Path, policy: PolicyId) -> None:
        """Take the weights of a folder when the batch under way has ended."""
        async with self._turn:
            self._model = await self._on_thread(self._read, folder)
            self.policy = policy

    async def close(self) -> None:
        """Stop at the next token; calls without an answer are cancelled."""
        self._closing.set()
        if self._batches is not None:
            await asyncio.wait([self._batches])
        async with self._turn:
            self._thread.shutdown()
            self._model = None

    # On the event loop

    async def _on_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _run_batches(self) -> None:
        """Run batches until nobody waits. All who are ready to ask do so before one begins."""
        while self._waiting and not self._closing.is_set():
            async with self._turn:
                size = min(self._max_sequences, len(self._waiting))
                taken = [self._waiting.popleft() for _ in range(size)]
                self._under_way = [call for call in taken if not call.answer.done()]
                if self._under_way:
                    await self._on_thread(self._decode, self._under_way, asyncio.get_running_loop())

    def _batches_ended(self, task: asyncio.Task[None]) -> None:
        """Let the calls without an answer know that none will come, where that is so."""
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled() and not self._closing.is_set():
            return
        for call in (*self._under_way, *self._waiting):
            if error is None:
                call.answer.cancel()
            elif not call.answer.done():
                call.answer.set_exception(error)
        self._waiting.clear()

    # On the engine's thread

    def _decode(self, calls: list[_Call], loop: asyncio.AbstractEventLoop) -> None:
        """Run one batch to its end, or until the engine is closed."""
        assert self._model is not None, "generate comes after load"
        assert self.policy is not None
        answers = {call.sequence: call.answer for call in calls}
        with torch.inference_mode():
            batch = DecodingBatch(self._model, [call.sequence for call in calls])
            while batch.sequences and not self._closing.is_set():
                ended = [
                    (answers[sequence], _generated(sequence, self.policy))
                    for sequence in batch.step()
                ]
                if ended:
                    loop.call_soon_threadsafe(_deliver, ended)

    def _score(self, token_ids: tuple[int, ...]) -> tuple[float, ...]:
        assert self._model is not None, "logprobs comes after load"
        try:
            with torch.inference_mode():
                return tuple(score(self._model, token_ids))
        # Some configurations that can be loaded cannot be computed, for instance more experts per
        # token than experts.
        except _UNUSABLE as error:
            raise PolicyUnloadable(f"it cannot be computed: {_first_line(error)}") from error

    def _read(self, folder: Path) -> PreTrainedModel:
        """The folder's model. Experts run as transformers runs them by default (`grouped_mm`),
        which is the fastest way on a CPU from 1 sequence to 128.

        Raises:
            PolicyUnloadable
        """
        transformers_logging.disable_progress_bar()
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=self._dtype,
                attn_implementation="sdpa",
                local_files_only=True,
                # A folder is weights and configuration: what else lies in it is not run or read.
                trust_remote_code=False,
                use_safetensors=True,
            )
        except _UNUSABLE as error:
            raise PolicyUnloadable(_first_line(error)) from error
        torch.nn.Module.to(model, self._device)
        return model.eval()


def _first_line(error: Exception) -> str:
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line[:300]}"


def _deliver(ended: list[tuple[asyncio.Future[Generated], Generated]]) -> None:
    for answer, generated in ended:
        if not answer.done():
            answer.set_result(generated)


def _generated(sequence: Sequence, policy: PolicyId) -> Generated:
    assert sequence.finish is not None, "only what has ended is delivered"
    return Generated(
        token_ids=tuple(sequence.token_ids),
        logprobs=tuple(sequence.logprobs),
        finish=sequence.finish,
        spans=(VersionSpan(num_tokens=len(sequence.token_ids), policy=policy),),
    )
