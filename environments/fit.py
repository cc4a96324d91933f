"""Whether a run leaves enough room for its tasks: tokens for a right answer and for what stands
before it, bytes for a group.

Settings alone cannot know it; it is checked as soon as the environment is known.
"""

from typing import Final

from environments.catalogue import open_environment
from environments.interface import Environment
from schemas.errors import SettingsError
from schemas.rollout import largest_group_bytes
from schemas.settings import RunSettings

_NUM_TASKS: Final = 256


def check_fit(settings: RunSettings) -> None:
    """Compare the limit of a completion with the environment's answers, the model, and a message.

    Raises:
        SettingsError: there is no such environment, a right answer is longer than the limit, so
            that its task could never be solved, prompt and answer are longer than the model's
            sequences, or the longest group, honestly made, may be refused as too large.
    """
    environment = open_environment(settings.environment)
    limit, num_positions = settings.sampling.max_new_tokens, settings.model.max_positions
    name = environment.ref.id
    if (longest := _longest_answer(environment)) > limit:
        raise SettingsError(
            f"sampling.max_new_tokens is {limit}, but a right answer of environment {name} takes "
            f"up to {longest} tokens"
        )
    if (needed := longest_rollout(environment, limit)) > num_positions:
        raise SettingsError(
            f"model.max_positions is {num_positions}, but a rollout of environment {name} takes up "
            f"to {needed} tokens: {environment.max_prompt_tokens} before the last answer, and "
            f"sampling.max_new_tokens, which is {limit}"
        )
    group_size, max_bytes = settings.sampling.group_size, settings.intake.max_message_bytes
    if (size := largest_group_bytes(group_size, needed)) > max_bytes:
        raise SettingsError(
            f"intake.max_message_bytes is {max_bytes}, but a group of environment {name} takes up "
            f"to {size} bytes uncompressed: sampling.group_size is {group_size}, and a rollout has "
            f"up to {needed} tokens"
        )


def longest_rollout(environment: Environment, max_new_tokens: int) -> int:
    """Tokens of a rollout at most, whatever the policy says."""
    return environment.max_prompt_tokens + max_new_tokens


def _longest_answer(environment: Environment) -> int:
    """Tokens of a right answer, among some tasks."""
    return max(
        len(turn.token_ids)
        for task in range(_NUM_TASKS)
        for turn in environment.reference(task)
        if turn.sampled
    )
