"""Models from settings and from folders: what cannot be is refused, and all the rest works."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learner.trainer.model import WEIGHTS_FILE, build_model, load_model, num_parameters
from schemas.errors import UserError
from schemas.model_settings import ModelSettings
from tests.support.training import SMALL_MODEL, make_folder

VOCABULARY_SIZE = 24
LENGTH = 6
COUNT = st.integers(1, 4)
WIDTH = st.sampled_from([8, 12, 16, 24, 32, 40])
SHAPES = st.fixed_dictionaries(
    {
        "hidden_size": WIDTH,
        "num_layers": st.integers(1, 3),
        "num_heads": COUNT,
        "num_key_value_heads": COUNT,
        "intermediate_size": st.integers(1, 9),
        "num_experts": st.integers(1, 6),
        "num_experts_per_token": COUNT,
        "moe_intermediate_size": WIDTH,
        "max_positions": st.just(LENGTH),
    }
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@given(shape=SHAPES)
@example(shape={"num_heads": 3})
@example(shape={"hidden_size": 126})
@example(shape={"num_experts_per_token": 20})
@example(shape={"hidden_size": 8, "num_heads": 2})
@settings(max_examples=200, deadline=None)
def test_a_shape_is_refused_or_works_in_each_format(shape: dict[str, int]) -> None:
    try:
        accepted = msgspec.convert(shape, ModelSettings)
    except msgspec.ValidationError as refused:
        assert any(name in str(refused) for name in shape)  # noqa: PT017 (either end is right)
        return
    model = build_model(accepted, VOCABULARY_SIZE, seed=0)
    token_ids = torch.arange(LENGTH)[None]
    for dtype in (torch.float32, torch.bfloat16):
        torch.nn.Module.to(model, dtype)
        logits = model(input_ids=token_ids).logits
        logits.float().square().sum().backward()
        assert torch.isfinite(logits).all()


def test_parameters_are_counted_without_building() -> None:
    built = build_model(SMALL_MODEL, VOCABULARY_SIZE, seed=0)
    assert num_parameters(SMALL_MODEL, VOCABULARY_SIZE) == built.num_parameters()


def configured(**changes: Any) -> Callable[[Path], None]:
    """Another configuration beside the same weights."""

    def spoil(folder: Path) -> None:
        config = folder / "config.json"
        config.write_bytes(msgspec.json.encode(msgspec.json.decode(config.read_bytes()) | changes))

    return spoil


def cut_off(folder: Path) -> None:
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (configured(num_hidden_layers=3), r"input_layernorm\.weight is missing, and \d+ more"),
        (configured(hidden_size=64), r"lm_head\.weight has another shape, and \d+ more"),
        (configured(model_type="llama"), "is not the llama model of its config.json"),
        (configured(hidden_size="wide"), "cannot be loaded: .*hidden_size"),
        (configured(num_attention_heads=0), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a valid JSON file"),
        (lambda folder: (folder / "config.json").write_text("[]"), "cannot be loaded"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "no file named model.safetensors"),
        (cut_off, "cannot be loaded"),
    ],
    ids=range(9),
)
def test_a_folder_that_is_no_whole_model_is_refused(tmp_path, spoil, words) -> None:
    """Tensors that are missing would be random, other ones at each start of the trainer."""
    folder = make_folder(tmp_path / "policy")
    spoil(folder)
    with pytest.raises(UserError, match=words):
        load_model(folder, torch.device("cpu"))
