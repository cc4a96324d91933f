"""Makes the policy that a run begins with, unless there is one, by supervised fine-tuning."""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from environments.catalogue import open_environment
from environments.fit import check_fit
from learner.run_folder import RunFolder
from schemas.settings import LearnerSettings

if TYPE_CHECKING:
    from learner.trainer.sft import SftProgress


def make_initial_policy(
    settings: LearnerSettings, on_progress: "Callable[[SftProgress], None]"
) -> "SftProgress | None":
    """Write `runs/<name>/initial`, whole or not at all; None when it is there already.

    Raises:
        SettingsError: no right answer would fit into a completion.
    """
    folder = RunFolder(settings)
    if folder.initial.exists():
        return None
    check_fit(open_environment(settings.environment), settings.sampling.max_new_tokens)
    from learner.trainer.sft import run_sft

    staging = folder.scratch / "sft"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    progress = run_sft(settings, staging, on_progress)
    staging.rename(folder.initial)
    return progress
