"""Supervised fine-tuning with every setting at the ends of what is allowed."""

import math
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.fit import check_fit
from learner.trainer.sft import check_memory, run_sft
from schemas.errors import SettingsError
from schemas.resolve import resolve
from schemas.settings import RunSettings
from tests.support.training import SMALL_MODEL

SMALLEST_FLOAT = 5e-324
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.sampled_from([0, 2**63 - 1]),
        "environment.id": st.sampled_from(["arithmetic", "lookup"]),
        "environment.largest": st.sampled_from([3, 64]),
        "sft.learning_rate": st.sampled_from([SMALLEST_FLOAT, 1]),
        "sft.target_reward": st.sampled_from([0, SMALLEST_FLOAT, 1]),
        "sft.evaluate_every": st.sampled_from([2**31]),
        "sampling.max_new_tokens": st.sampled_from([1, 50, 63, 64]),
        "trainer.token_budget": st.sampled_from([1, 2**31]),
        "trainer.max_grad_norm": st.sampled_from([SMALLEST_FLOAT, 1e6]),
    },
)
TOO_LONG = ("sampling.max_new_tokens is ", "model.max_positions is ")
"""How the only refusals there can be begin."""
FEW = {
    "sft.batch_size": 2,
    "sft.max_steps": 2,
    "sft.evaluate_every": 1,
    "sft.num_evaluation_tasks": 1,
    "environment.largest": 3,
}


@given(said=SETTINGS)
@settings(max_examples=25, deadline=None)
def test_settings_are_refused_or_work(said: dict[str, object]) -> None:
    model = {f"model.{name}": value for name, value in msgspec.to_builtins(SMALL_MODEL).items()}
    words = [f"--{name}={value}" for name, value in (model | FEW | said).items()]
    try:
        resolved = resolve(RunSettings, ["--name", "test", *words])
        check_fit(resolved)
        check_memory(resolved)
    except SettingsError as refused:
        assert str(refused).startswith(TOO_LONG)  # noqa: PT017 (either end is right)
        return
    with tempfile.TemporaryDirectory() as folder:
        end = run_sft(resolved, Path(folder), lambda _: None)
    assert math.isfinite(end.loss)
