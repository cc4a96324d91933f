"""Turns texts into a rollout's tokens: one renderer for SFT, RL and evaluation.

    <begin> question <reply> answer <stop>
    <begin> question <reply> <call> name <stop> <result> value <reply> answer <stop>

What lies between <reply> and <stop> is the policy's, the rest is rendered here. Nothing is ever
rendered again from text: a rollout is only extended.
"""

import hashlib
import json
from typing import Final

from environments import characters
from environments.characters import BEGIN, CALL, REPLY, RESULT, STOP
from environments.interface import Completion
from schemas.rollout import Finish

_NAME: Final = "tributary-characters"
_VERSION: Final = "1"
STOP_IDS: Final[tuple[int, ...]] = (STOP,)


def question(text: str) -> tuple[int, ...]:
    """The tokens that a rollout begins with."""
    return (BEGIN, *characters.encode(text), REPLY)


def result(text: str) -> tuple[int, ...]:
    """A tool's answer, behind the policy's call."""
    return (RESULT, *characters.encode(text), REPLY)


def answer(text: str) -> tuple[int, ...]:
    """The completion that a perfect policy gives."""
    return (*characters.encode(text), STOP)


def call(name: str) -> tuple[int, ...]:
    """The completion that asks the tool for a name."""
    return (CALL, *characters.encode(name), STOP)


def read_answer(completion: Completion) -> str | None:
    """The text of a finished answer; None when it is cut off or has marks in it."""
    if completion.finish is not Finish.STOP:
        return None
    return characters.plain_text(completion.token_ids[:-1])


def read_call(completion: Completion) -> str | None:
    """The name that a finished call asks for; None when the completion is no call."""
    if completion.finish is not Finish.STOP or completion.token_ids[:1] != (CALL,):
        return None
    return characters.plain_text(completion.token_ids[1:-1])


def identity() -> str:
    """sha256 over the renderer's name, version, tokenizer files and a golden conversation's ids."""
    golden = question("a+b=") + call("a") + result("17") + answer("-2 ok?")
    digest = hashlib.sha256(json.dumps([_NAME, _VERSION, golden]).encode())
    for name, data in sorted(characters.tokenizer_files().items()):
        digest.update(f"\n{name} {hashlib.sha256(data).hexdigest()}".encode())
    return digest.hexdigest()
