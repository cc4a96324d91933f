"""Environments of one question and one answer."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from environments import renderer, scoring
from environments.characters import SIZE
from environments.draw import Draw
from environments.interface import Interaction, Sample, Turn
from schemas.lease import EnvironmentRef

_REMEMBERED: Final = 256
"""Tasks whose drawing is remembered: the rollouts of a group ask for the same one."""


class Problem(Struct, frozen=True, kw_only=True):
    """A task in words."""

    question: str
    answer: str


class SingleTurn:
    """An environment whose tasks are problems, drawn by one function and scored by another."""

    vocabulary_size = SIZE
    stop_ids = renderer.STOP_IDS

    def __init__(
        self,
        ref: EnvironmentRef,
        *,
        draw_problem: Callable[[Draw], Problem],
        partial: Callable[[str, str], float],
        longest_question: int,
        train_on: Literal["exact", "partial"],
    ) -> None:
        self.ref = ref
        self.renderer = renderer.identity()
        self.max_prompt_tokens = len(renderer.question("")) + longest_question
        self._partial = partial
        self._train_on: Literal["exact", "partial"] = train_on

        @lru_cache(_REMEMBERED)
        def draw(task: int) -> tuple[Problem, tuple[int, ...]]:
            problem = draw_problem(Draw(ref, task))
            return problem, renderer.question(problem.question)

        self._draw = draw

    def problem(self, task: int) -> Problem:
        """The task in words."""
        return self._draw(task)[0]

    def prompt(self, task: int) -> tuple[int, ...]:
        """The rendered question."""
        return self._draw(task)[1]

    async def run(self, task: int, sample: Sample) -> Interaction:
        """Ask, and score the answer; one that is cut off or has marks in it scores 0."""
        prompt = self.prompt(task)
        completion = await sample(prompt)
        wanted, given = self.problem(task).answer, renderer.read_answer(completion)
        return scoring.finished(
            (
                Turn(token_ids=prompt, sampled=False),
                Turn(token_ids=completion.token_ids, sampled=True),
            ),
            completion.finish,
            exact=given == wanted,
            partial=0.0 if given is None else self._partial(given, wanted),
            train_on=self._train_on,
        )

    def reference(self, task: int) -> tuple[Turn, ...]:
        """The question and its right answer."""
        answer = renderer.answer(self.problem(task).answer)
        return (
            Turn(token_ids=self.prompt(task), sampled=False),
            Turn(token_ids=answer, sampled=True),
        )
