"""The engine gives what a plain forward pass and the sampling's rule give, in whatever batch."""

import asyncio
import json
import math
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from actors.engine import Generated
from actors.probe import check_probe
from actors.sampling import draw
from actors.torch_engine import TorchEngine
from learner.trainer.model import build_model, save_folder
from schemas.arrays import pack_f32, pack_u32
from schemas.errors import PolicyUnloadable, ProbeMismatch
from schemas.lease import Sampling
from schemas.model_settings import ModelSettings
from schemas.policy import PolicyId, Probe
from schemas.rollout import Finish, VersionSpan

VOCABULARY_SIZE = 40
OLD, NEW = PolicyId(1, 0), PolicyId(1, 1)
SAMPLING = Sampling(max_new_tokens=10, stop_ids=(2, 3, 4, 5))
PROMPTS: list[tuple[int, ...]] = [(1, 9, 12, 30, 5), (1, 7), (1, 9, 12, 30, 5), (1, *range(6, 20))]
MODEL = ModelSettings(
    hidden_size=32, num_layers=2, intermediate_size=32, num_experts=4, moe_intermediate_size=16
)


def write_policy(folder: Path, seed: int) -> Path:
    """Weights large enough for log-probabilities that are not all alike."""
    model = build_model(MODEL, VOCABULARY_SIZE, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.dim() > 1 else 1.0)
    save_folder(model, folder)
    return folder


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("old"), 0)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("new"), 1)


@pytest.fixture(scope="module")
def old_model(old: Path):
    return AutoModelForCausalLM.from_pretrained(old, dtype=torch.float32).eval()


async def test_code_that_comes_with_weights_is_not_run(old: Path, tmp_path: Path):
    """As a model of the Hugging Face hub brings its own class, and as a pickle brings anything."""
    folder = tmp_path / "planted"
    shutil.copytree(old, folder)
    ran = tmp_path / "ran"
    (folder / "planted.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_bytes())
    config["auto_map"] = {
        "AutoModelForCausalLM": "planted.Planted",
        "AutoConfig": "planted.Planted",
    }
    (folder / "config.json").write_text(json.dumps(config))
    engine = TorchEngine(dtype="float32", max_sequences=4, num_threads=1)
    await engine.load(folder, OLD)
    await engine.close()
    assert not ran.exists()
    config["model_type"] = "planted"
    (folder / "config.json").write_text(json.dumps(config))
    engine = TorchEngine(dtype="float32", max_sequences=4, num_threads=1)
    with pytest.raises(PolicyUnloadable, match="planted"):
        await engine.load(folder, OLD)
    await engine.close()
    assert not ran.exists()


@asynccontextmanager
async def running(folder: Path, **options) -> AsyncIterator[TorchEngine]:
    engine = TorchEngine(**options)
    await engine.load(folder, OLD)
    try:
        yield engine
    finally:
        await engine.close()


async def generate_all(
    engine: TorchEngine, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]
) -> list[Generated]:
    return await asyncio.gather(
        *(engine.generate(p, SAMPLING, seed=s) for p, s in zip(prompts, seeds, strict=True))
    )


def plain_generate(model, prompt: tuple[int, ...], seed: int) -> Generated:
    """One sequence, one full forward pass a token, no cache, no padding."""
    ids, logprobs = list(prompt), []
    while True:
        with torch.inference_mode():
            logits_1_V = model(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1]
        token_id = int(draw(logits_1_V, torch.tensor([seed]), torch.tensor([len(ids)])))
        ids.append(token_id)
        logprobs.append(logits_1_V.log_softmax(-1)[0, token_id].item())
        stopped = token_id in SAMPLING.stop_ids
        if stopped or len(logprobs) == SAMPLING.max_new_tokens:
            return Generated(
                token_ids=tuple(ids[len(prompt) :]),
                logprobs=tuple(logprobs),
                finish=Finish.STOP if stopped else Finish.LENGTH,
                spans=(VersionSpan(num_tokens=len(logprobs), policy=OLD),),
            )


def assert_same(found: Generated, expected: Generated) -> None:
    assert found.token_ids == expected.token_ids
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert (found.finish, found.spans) == (expected.finish, expected.spans)


async def test_a_batch_gives_what_plain_forward_passes_give(old: Path, old_model) -> None:
    prompts, seeds = PROMPTS * 3, range(12)
    async with running(old) as engine:
        found = await generate_all(engine, prompts, seeds)
    for prompt, seed, generated in zip(prompts, seeds, found, strict=True):
        assert_same(generated, plain_generate(old_model, prompt, seed))
    assert {generated.finish for generated in found} == {Finish.STOP, Finish.LENGTH}
    assert len({generated.token_ids for generated in found}) == 12


async def test_tokens_do_not_depend_on_the_batch(old: Path) -> None:
    prompts, seeds = PROMPTS * 4, list(range(100, 116))
    async with running(old, max_sequences=16) as engine:
        together = await generate_all(engine, prompts, seeds)
        reversed_order = await generate_all(engine, prompts[::-1], seeds[::-1])
        alone = [
            await engine.generate(prompt, SAMPLING, seed=seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
    async with running(old, max_sequences=3) as engine:
        in_threes = await generate_all(engine, prompts, seeds)
    for others in (reversed_order[::-1], alone, in_threes):
        for found, expected in zip(others, together, strict=True):
            assert_same(found, expected)


async def test_completions_end_at_a_stop_id_or_at_the_limit(old: Path) -> None:
    async with running(old) as engine:
        for generated in await generate_all(engine, PROMPTS * 8, range(32)):
            stops = [i for i in generated.token_ids if i in SAMPLING.stop_ids]
            if generated.finish is Finish.STOP:
                assert stops == [generated.token_ids[-1]]
            else:
                assert stops == []
                assert len(generated.token_ids) == SAMPLING.max_new_tokens


async def test_logprobs_are_those_of_generation(old: Path) -> None:
    async with running(old) as engine:
        for prompt, generated in zip(
            PROMPTS, await generate_all(engine, PROMPTS, range(4)), strict=True
        ):
            scored = await engine.logprobs(prompt + generated.token_ids)
            assert len(scored) == len(prompt) + len(generated.token_ids) - 1
            sampled = scored[len(prompt) - 1 :]
            assert sampled == pytest.approx(generated.logprobs, abs=1e-4)


async def test_bfloat16_is_another_track(old: Path) -> None:
    async with running(old, dtype="bfloat16") as engine, running(old) as reference:
        assert (engine.profile.dtype, engine.profile.track) == ("bfloat16", "bf16")
        assert (reference.profile.dtype, reference.profile.track) == ("float32", "f32")
        generated = await engine.generate(PROMPTS[0], SAMPLING, seed=1)
        scored = await engine.logprobs(PROMPTS[0] + generated.token_ids)
        exact = await reference.logprobs(PROMPTS[0] + generated.token_ids)
    sampled = scored[len(PROMPTS[0]) - 1 :]
    assert sampled == pytest.approx(generated.logprobs, abs=0.2)
    assert scored == pytest.approx(exact, abs=0.5)
    assert scored != pytest.approx(exact, abs=1e-5)


async def test_a_load_waits_for_the_batch_under_way(old: Path, new: Path, old_model) -> None:
    async with running(old, max_sequences=4) as engine:
        first = asyncio.create_task(generate_all(engine, PROMPTS, range(4)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loading = asyncio.create_task(engine.load(new, NEW))
        await asyncio.sleep(0)
        second = asyncio.create_task(generate_all(engine, PROMPTS, range(4)))
        made_with_old, made_with_new = await first, await second
        await loading
        assert engine.policy == NEW
    assert {span.policy for made in made_with_old for span in made.spans} == {OLD}
    assert {span.policy for made in made_with_new for span in made.spans} == {NEW}
    assert [m.token_ids for m in made_with_old] != [m.token_ids for m in made_with_new]
    for prompt, seed, generated in zip(PROMPTS, range(4), made_with_old, strict=True):
        assert_same(generated, plain_generate(old_model, prompt, seed))


async def test_the_event_loop_stays_free(old: Path) -> None:
    long = Sampling(max_new_tokens=100, stop_ids=(VOCABULARY_SIZE,))
    num_turns = 0
    async with running(old) as engine:
        generating = asyncio.create_task(engine.generate(PROMPTS[0], long, seed=0))
        while not generating.done():
            num_turns += 1
            await asyncio.sleep(0)
    assert len(generating.result().token_ids) == 100
    assert num_turns > 10


async def test_close_cancels_what_has_no_answer(old: Path) -> None:
    endless = Sampling(max_new_tokens=8000, stop_ids=(VOCABULARY_SIZE,))
    async with running(old, max_sequences=1) as engine:
        calls = [
            asyncio.create_task(engine.generate(PROMPTS[0], endless, seed=seed)) for seed in (0, 1)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await engine.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 1.0)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2


async def test_a_call_that_is_given_up_harms_nobody(old: Path, old_model) -> None:
    async with running(old) as engine:
        given_up = asyncio.create_task(engine.generate(PROMPTS[1], SAMPLING, seed=8))
        kept = asyncio.create_task(engine.generate(PROMPTS[0], SAMPLING, seed=9))
        await asyncio.sleep(0)
        given_up.cancel()
        assert_same(await kept, plain_generate(old_model, PROMPTS[0], 9))


async def test_an_error_reaches_every_caller_and_the_engine_goes_on(old: Path) -> None:
    async with running(old) as engine:
        outcomes = await asyncio.gather(
            engine.generate((1, VOCABULARY_SIZE + 7), SAMPLING, seed=0),
            engine.generate(PROMPTS[0], SAMPLING, seed=0),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [IndexError, IndexError]
        assert (await engine.generate(PROMPTS[0], SAMPLING, seed=0)).token_ids


async def test_sequences_longer_than_the_context_are_refused(old: Path) -> None:
    async with running(old, max_context=12) as engine:
        with pytest.raises(ValueError, match="15 tokens are above 12"):
            await engine.generate(PROMPTS[0], SAMPLING, seed=0)


@pytest.mark.parametrize(("setting", "value"), [("num_experts_per_tok", 5), ("vocab_size", 7)])
async def test_a_model_that_loads_and_cannot_be_computed(
    old: Path, tmp_path: Path, setting: str, value: int
) -> None:
    folder = tmp_path / "odd"
    if setting == "vocab_size":
        save_folder(build_model(MODEL, value, 0), folder)
    else:
        shutil.copytree(old, folder)
        config = json.loads((folder / "config.json").read_bytes())
        (folder / "config.json").write_text(json.dumps(config | {setting: value}))
    probe = Probe(token_ids=pack_u32([1, 9]), logprobs=pack_f32([-1.0]))
    async with running(old) as engine:
        await engine.load(folder, NEW)
        with pytest.raises(PolicyUnloadable, match="cannot be computed"):
            await check_probe(engine, probe, 1e-4)
        await engine.load(old, OLD)
        assert await engine.logprobs((1, 9))


async def test_probe(old: Path, new: Path) -> None:
    ids = PROMPTS[3]
    async with running(old) as engine:
        logprobs = await engine.logprobs(ids)
        probe = Probe(token_ids=pack_u32(ids), logprobs=pack_f32(logprobs))
        await check_probe(engine, probe, 1e-4)
        for wrong in (logprobs[:-1], [math.nan, *logprobs[1:]], [*logprobs[:-1], -99.0]):
            with pytest.raises(ProbeMismatch):
                await check_probe(
                    engine, Probe(token_ids=pack_u32(ids), logprobs=pack_f32(wrong)), 1e-4
                )
        await engine.load(new, NEW)
        with pytest.raises(ProbeMismatch, match="at the trainer"):
            await check_probe(engine, probe, 1e-1)
