"""Reversing letters: `r:abcd` is answered by `dcba`."""

import string

from environments import scoring
from environments.draw import Draw
from environments.pin import pin
from environments.single_turn import Problem, SingleTurn
from schemas.settings import EnvironmentSettings

_VERSION = "1"
_PREFIX = "r:"


def build(settings: EnvironmentSettings) -> SingleTurn:
    """The environment with `smallest` to `largest` letters."""

    def draw_problem(draw: Draw) -> Problem:
        num_letters = draw.between(settings.smallest, settings.largest)
        letters = "".join(string.ascii_lowercase[draw.below(26)] for _ in range(num_letters))
        return Problem(question=_PREFIX + letters, answer=letters[::-1])

    return SingleTurn(
        pin(settings, _VERSION, __file__),
        draw_problem=draw_problem,
        partial=scoring.agreement,
        longest_question=len(_PREFIX) + settings.largest,
        train_on=settings.train_on,
    )
