"""Sums and differences: `12+345=` is answered by `357`, and `12-345=` by `-333`."""

from environments import scoring
from environments.draw import Draw
from environments.pin import pin
from environments.single_turn import Problem, SingleTurn
from schemas.settings import EnvironmentSettings

_VERSION = "1"


def build(settings: EnvironmentSettings) -> SingleTurn:
    """The environment with numbers of `smallest` to `largest` digits."""

    def draw_problem(draw: Draw) -> Problem:
        left, right = (
            draw.number(draw.between(settings.smallest, settings.largest)) for _ in range(2)
        )
        sign = "+-"[draw.below(2)]
        return Problem(
            question=f"{left}{sign}{right}=",
            answer=str(left + right if sign == "+" else left - right),
        )

    return SingleTurn(
        pin(settings, _VERSION, __file__),
        draw_problem=draw_problem,
        partial=scoring.digit_agreement,
        longest_question=2 * settings.largest + 2,
        train_on=settings.train_on,
    )
