"""Makes the policy that a run begins with, unless there is one, by supervised fine-tuning.

A policy that misses its target is kept, and nobody goes on with it unasked: an opened run keeps its
policy for ever, and reinforcement learning has nothing to learn from rewards that are all the same.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from learner.run_folder import RunFolder
from learner.same_run import differences
from schemas.atomic_file import write_atomically
from schemas.errors import SettingsError, TributaryError
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings, SftSettings

if TYPE_CHECKING:
    from learner.trainer.sft import SftProgress

_MADE_WITH: Final = ("environment.", "model.", "sampling.max_new_tokens ", "seed ", "sft.")
"""How the lines of the settings begin that supervised fine-tuning depends on."""


class TargetMissed(TributaryError):
    """Raised when fine-tuning ends by its step limit; the policy is there all the same."""

    def __init__(self, end: "SftProgress", settings: SftSettings, policy: Path) -> None:
        super().__init__(
            f"supervised fine-tuning has reached a reward of {end.reward:.2f} in {end.step} steps, "
            f"below sft.target_reward, which is {settings.target_reward}: to go on with this "
            f"policy nevertheless, which is in {policy}, type `learner run` or `learner open`; for "
            "a better one remove that folder, and raise sft.max_steps"
        )


def make_initial_policy(settings: LearnerSettings, say: Callable[[str], None]) -> None:
    """Write `runs/<name>/initial`, whole or not at all; `say` takes lines for whoever waits.

    Raises:
        TargetMissed
        SettingsError: the model is too large for this machine; or there is a policy that was made
            with other settings.
    """
    folder = RunFolder(settings)
    if folder.initial.exists():
        _check_made_with(folder, settings)
        say(f"the policy to begin with was already in {folder.initial}")
        return
    say("making the policy to begin with, by supervised fine-tuning")
    from learner.trainer.sft import check_memory, run_sft

    check_memory(settings)
    staging = folder.scratch / "sft"
    # Made before the work: a folder that cannot be written is said at once.
    folder.scratch.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(staging, ignore_errors=True)
    end = run_sft(settings, staging, lambda progress: say(progress_line(progress, settings.sft)))
    write_atomically(folder.initial_settings, _made_with(settings).encode())
    staging.rename(folder.initial)
    if end.reward < settings.sft.target_reward:
        raise TargetMissed(end, settings.sft, folder.initial)
    say(f"the policy to begin with is in {folder.initial}")


def _check_made_with(folder: RunFolder, settings: LearnerSettings) -> None:
    """A policy that nobody made here, brought by hand, is taken as it is."""
    if not folder.initial_settings.exists():
        return
    for name, value, was in differences(_made_with(settings), folder.initial_settings.read_text()):
        raise SettingsError(
            f"{name} is {value}, but the policy in {folder.initial} was made with {was}: "
            "remove that folder to make another, or take another `name`"
        )


def _made_with(settings: LearnerSettings) -> str:
    lines = to_toml(settings).splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(_MADE_WITH))


def progress_line(progress: "SftProgress", settings: SftSettings) -> str:
    """Where fine-tuning stands, beside where it ends."""
    return (
        f"sft step {progress.step} of at most {settings.max_steps}: loss {progress.loss:.3f}, "
        f"reward {progress.reward:.2f} of {settings.target_reward}"
    )
