"""Whether a run leaves enough tokens for a right answer."""

from typing import Final

from environments.interface import Environment
from schemas.errors import SettingsError

_NUM_TASKS: Final = 256


def check_fit(environment: Environment, max_new_tokens: int) -> None:
    """Compare the limit of a completion with the right answers of some tasks.

    Raises:
        SettingsError: a right answer is longer, so that its task could never be solved.
    """
    longest = max(
        len(turn.token_ids)
        for task in range(_NUM_TASKS)
        for turn in environment.reference(task)
        if turn.sampled
    )
    if longest > max_new_tokens:
        raise SettingsError(
            f"sampling.max_new_tokens is {max_new_tokens}, but a right answer of environment "
            f"{environment.ref.id} takes up to {longest} tokens"
        )
