"""The tokenizer in code and the one that its files make in transformers are the same."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments import characters, renderer

texts = st.text(alphabet=characters.ALPHABET, max_size=40)


@given(texts)
def test_round_trip(text: str) -> None:
    ids = characters.encode(text)
    assert len(ids) == len(text)
    assert characters.decode(ids) == text
    assert characters.plain_text(ids) == text


@given(st.lists(st.integers(min_value=-5, max_value=2**33)))
def test_decode_takes_any_ids(ids: list[int]) -> None:
    assert characters.plain_text(ids) in (None, characters.decode(ids))


def test_marks_cannot_be_spelled() -> None:
    with pytest.raises(ValueError, match="'<' is not in the alphabet"):
        characters.encode("a<stop>")
    assert characters.plain_text(renderer.answer("a")) is None


def test_golden_ids() -> None:
    assert characters.SIZE == 48
    assert renderer.question("r:az ?") == (1, 23, 46, 6, 31, 42, 47, 5)
    assert renderer.result("-1") == (4, 44, 33, 5)
    assert renderer.call("a") == (3, 6, 2)


def test_golden_identity() -> None:
    """It changes with every byte of the tokenizer's files: then this is another renderer."""
    assert set(characters.tokenizer_files()) == {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    }
    assert renderer.identity() == (
        "b12794a61e9079c73a5c9a8d1c4b1df855eb56ef3f795994a496c606470f4dc2"
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    transformers = pytest.importorskip("transformers")
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    characters.write_tokenizer_files(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_transformers_agrees(tokenizer) -> None:
    @settings(max_examples=50, deadline=None)
    @given(texts)
    def agrees(text: str) -> None:
        ids = list(characters.encode(text))
        assert tokenizer(text)["input_ids"] == ids
        assert tokenizer.decode(ids) == text

    agrees()


def test_transformers_knows_the_marks(tokenizer) -> None:
    rollout = renderer.question("a+b=") + renderer.call("a") + renderer.result("1")
    assert tokenizer(characters.decode(rollout))["input_ids"] == list(rollout)
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert len(tokenizer) == characters.SIZE


def test_transformers_refuses_other_characters(tokenizer) -> None:
    with pytest.raises(Exception, match="UNK"):
        tokenizer("A")
