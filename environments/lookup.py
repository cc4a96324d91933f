"""Sums and differences of registers whose values only a tool knows.

    <begin>b-d=<reply>  <call>b<stop>  <result>17<reply>  <call>d<stop>  <result>4<reply>  13<stop>

The tool's answer is a pure function of the task and the register, so the learner produces it again
and compares. Every completion that is not a call of one letter is the final answer: this bounds
both the turns and the tokens between them.
"""

import string
from typing import Final

from msgspec import Struct

from environments import renderer, scoring
from environments.characters import SIZE
from environments.draw import Draw
from environments.interface import Completion, Interaction, Sample, Turn
from environments.pin import pin
from schemas.settings import EnvironmentSettings

_VERSION: Final = "1"
_MAX_CALLS: Final = 4


class Problem(Struct, frozen=True, kw_only=True):
    """A task in words."""

    registers: tuple[str, str]
    sign: str

    @property
    def question(self) -> str:
        left, right = self.registers
        return f"{left}{self.sign}{right}="


def build(settings: EnvironmentSettings) -> "Lookup":
    """The environment with values of `smallest` to `largest` digits."""
    return Lookup(settings)


class Lookup:
    """See the module."""

    vocabulary_size = SIZE
    stop_ids = renderer.STOP_IDS

    def __init__(self, settings: EnvironmentSettings) -> None:
        self.ref = pin(settings, _VERSION, __file__)
        self.renderer = renderer.identity()
        self.max_prompt_tokens = len(renderer.question("a+b=")) + _MAX_CALLS * (
            len(renderer.call("a")) + len(renderer.result("")) + settings.largest
        )
        self._settings = settings

    def problem(self, task: int) -> Problem:
        """The task in words."""
        draw = Draw(self.ref, task)
        letters = string.ascii_lowercase
        left = letters[draw.below(26)]
        right = letters.replace(left, "")[draw.below(25)]
        return Problem(registers=(left, right), sign="+-"[draw.below(2)])

    def value(self, task: int, register: str) -> int:
        """What the tool says."""
        draw = Draw(self.ref, task, f"register {register}")
        return draw.number(draw.between(self._settings.smallest, self._settings.largest))

    def answer(self, task: int) -> str:
        """The right answer."""
        problem = self.problem(task)
        left, right = (self.value(task, register) for register in problem.registers)
        return str(left + right if problem.sign == "+" else left - right)

    def prompt(self, task: int) -> tuple[int, ...]:
        """The rendered question."""
        return renderer.question(self.problem(task).question)

    async def run(self, task: int, sample: Sample) -> Interaction:
        """Answer calls until there is none, or too many; then score the last completion."""
        turns = [Turn(token_ids=self.prompt(task), sampled=False)]
        asked: set[str] = set()
        while True:
            completion = await sample(tuple(i for turn in turns for i in turn.token_ids))
            turns.append(Turn(token_ids=completion.token_ids, sampled=True))
            register = _register(completion)
            if register is None or len(turns) > 2 * _MAX_CALLS:
                return self._score(task, tuple(turns), completion, asked)
            asked.add(register)
            result = renderer.result(str(self.value(task, register)))
            turns.append(Turn(token_ids=result, sampled=False))

    def _score(
        self, task: int, turns: tuple[Turn, ...], completion: Completion, asked: set[str]
    ) -> Interaction:
        """Half of the partial credit is for asking for both registers, half for the digits."""
        wanted, given = self.answer(task), renderer.read_answer(completion)
        exact = given == wanted
        share_asked = len(asked.intersection(self.problem(task).registers)) / 2
        share_right = 0.0 if given is None else scoring.digit_agreement(given, wanted)
        return scoring.finished(
            turns,
            completion.finish,
            exact=exact,
            partial=1.0 if exact else (share_asked + share_right) / 2,
            train_on=self._settings.train_on,
        )

    def reference(self, task: int) -> tuple[Turn, ...]:
        """Ask for both registers, then answer."""
        turns = [Turn(token_ids=self.prompt(task), sampled=False)]
        for register in self.problem(task).registers:
            result = renderer.result(str(self.value(task, register)))
            turns.append(Turn(token_ids=renderer.call(register), sampled=True))
            turns.append(Turn(token_ids=result, sampled=False))
        turns.append(Turn(token_ids=renderer.answer(self.answer(task)), sampled=True))
        return tuple(turns)


def _register(completion: Completion) -> str | None:
    name = renderer.read_call(completion)
    return name if name is not None and len(name) == 1 and name.isalpha() else None
