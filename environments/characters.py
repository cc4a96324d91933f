"""The character-level tokenizer of the built-in environments: six marks and 42 characters.

It needs no library at run time. `write_tokenizer_files` writes the same tokenizer for transformers
and vLLM, so that a policy's folder is an ordinary Hugging Face folder.

>>> encode("12+3=")
(33, 34, 43, 35, 45)
>>> decode((1, *encode("r:ab"), 5))
'<begin>r:ab<reply>'
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

PAD: Final = 0
BEGIN: Final = 1
"""Begins every rollout."""
STOP: Final = 2
"""Ends every completion."""
CALL: Final = 3
"""Begins a completion that asks a tool."""
RESULT: Final = 4
"""Begins a tool's answer."""
REPLY: Final = 5
"""The policy speaks next."""

_MARKS: Final = ("<pad>", "<begin>", "<stop>", "<call>", "<result>", "<reply>")
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789 +-=:?"
"""All characters of texts. No mark can be spelled in them, so no text can smuggle one in."""
_TOKENS: Final = (*_MARKS, *ALPHABET)
_IDS: Final = {token: token_id for token_id, token in enumerate(_TOKENS)}
SIZE: Final = len(_TOKENS)


def encode(text: str) -> tuple[int, ...]:
    """Token ids of a text, one per character.

    Raises:
        ValueError: a character is not in the alphabet.
    """
    try:
        return tuple([_IDS[character] for character in text])
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is not in the alphabet") from None


def decode(token_ids: Iterable[int]) -> str:
    """Text of token ids, for eyes; marks appear as `<stop>`, ids outside the vocabulary as `?`."""
    return "".join([_TOKENS[i] if 0 <= i < SIZE else "?" for i in token_ids])


def plain_text(token_ids: Sequence[int]) -> str | None:
    """Text of token ids that are characters only; None when there is any other among them."""
    if all(len(_MARKS) <= i < SIZE for i in token_ids):
        return decode(token_ids)
    return None


def tokenizer_files() -> dict[str, bytes]:
    """The files that make transformers' PreTrainedTokenizerFast this tokenizer, by name."""
    marks = {"pad_token": "<pad>", "bos_token": "<begin>", "eos_token": "<stop>"}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 20,
        "extra_special_tokens": [mark for mark in _MARKS if mark not in marks.values()],
        **marks,
    }
    return {
        "tokenizer.json": _json(_tokenizer()),
        "tokenizer_config.json": _json(config),
        "special_tokens_map.json": _json(marks),
    }


def write_tokenizer_files(folder: Path) -> None:
    """Write the files of `tokenizer_files` into a folder that is there."""
    for name, data in tokenizer_files().items():
        (folder / name).write_bytes(data)


def _tokenizer() -> dict[str, Any]:
    added = [
        {
            "id": token_id,
            "content": mark,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token_id, mark in enumerate(_MARKS)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "[\\s\\S]"},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        # There is no unknown token: a character outside the alphabet is an error there too.
        "model": {"type": "WordLevel", "vocab": _IDS, "unk_token": "<unknown>"},
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
