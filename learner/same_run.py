"""What a run keeps from its opening on, and what every start may choose for itself."""

from typing import Final

import msgspec

from learner.opening_file import read_opening
from learner.run_folder import RunFolder
from schemas.atomic_file import write_atomically
from schemas.errors import SettingsError
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings, RunSettings, TrainerSettings, run_settings

_HERE: Final = ("num_ranks", "num_threads", "checkpoint_every", "keep_checkpoints")
"""Trainer settings that say where and how safely a run trains, not what it learns. They may differ
at every start; the numerics record says what was used."""


def keep_settings(settings: LearnerSettings) -> None:
    """Write the settings file of an open run, which the processes of this start read.

    Raises:
        SettingsError: they are not the run's.
        UserError: the run is not open.
    """
    folder = RunFolder(settings)
    check_same_run(read_opening(folder.opening).settings, settings)
    write_atomically(folder.settings, to_toml(settings).encode())


def trainer_settings(opened: RunSettings, local: RunSettings) -> TrainerSettings:
    """Those that the run was opened with, save what each start may choose for itself."""
    chosen = {name: getattr(local.trainer, name) for name in _HERE}
    return msgspec.structs.replace(opened.trainer, **chosen)


def check_same_run(opened: RunSettings, settings: LearnerSettings) -> None:
    """Check that these settings are the ones that the run was opened with.

    Raises:
        SettingsError: one differs; names it, and both values.
    """
    asked = run_settings(settings)
    expected = msgspec.structs.replace(opened, trainer=trainer_settings(opened, settings))
    if asked == expected:
        return
    name, value, was = differences(to_toml(asked), to_toml(expected))[0]
    raise SettingsError(
        f"{name} is {value}, but run {opened.name} was opened with {was}: "
        f"start it with `@ {RunFolder(settings).settings}`, or begin another run by another `name`"
    )


def differences(asked: str, was: str) -> list[tuple[str, str, str]]:
    """The settings of two TOML texts that differ: name, value asked, what it was.

    >>> differences("rate = 1\\nseed = 2", "seed = 1\\nrate = 1\\nold = 3")
    [('old', 'none', '3'), ('seed', '2', '1')]
    """
    now, before = _named_values(asked), _named_values(was)
    return [
        (name, now.get(name, "none"), before.get(name, "none"))
        for name in sorted(now.keys() | before.keys())
        if now.get(name) != before.get(name)
    ]


def _named_values(toml: str) -> dict[str, str]:
    parted = (line.partition(" = ") for line in toml.splitlines())
    return {name: value for name, _, value in parted}
