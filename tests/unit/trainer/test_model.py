"""Whatever shape the settings accept, the model can be built, trained and run in each format."""

import msgspec
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learner.trainer.model import build_model
from schemas.model_settings import ModelSettings

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
def test_a_shape_is_refused_or_works(shape: dict[str, int]) -> None:
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
