"""How a run begins: the facts that the coordinator writes as RunOpened, and what may differ later.

`runs/<name>/opening.json` is that very event. It is written when the initial policy is published,
so a file that is there is complete. This module knows no torch.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import SettingsError, UserError
from schemas.ledger import RunOpened
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings, RunSettings, TrainerSettings, run_settings

_HERE: Final = ("num_ranks", "num_threads", "checkpoint_every", "keep_checkpoints")
"""Trainer settings that say where and how safely a run trains, not what it learns. They may differ
at every start; the numerics record says what was used."""

_PACKAGES: Final = ("schemas", "broker", "environments", "learner")


def write_opening(path: Path, opened: RunOpened) -> None:
    """Write the file, whole or not at all."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    with open(staging, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(opened)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    staging.replace(path)


def read_opening(path: Path) -> RunOpened:
    """Raises UserError when the run is not opened, or the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunOpened)
    except FileNotFoundError:
        raise UserError(f"there is no {path}: open the run with `learner open` first") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} does not say how a run was opened: {error}") from None


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
    was = dict(line.split(" = ", 1) for line in to_toml(expected).splitlines())
    name, value = next(
        (name, value)
        for name, _, value in (line.partition(" = ") for line in to_toml(asked).splitlines())
        if was.get(name) != value
    )
    raise SettingsError(
        f"{name} is {value}, but run {opened.name} was opened with {was.get(name, 'none')}: "
        "a run keeps its settings, another `name` begins another run"
    )


def code_sha256() -> str:
    """Digest of the source files of the learner's packages."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(path for name in _PACKAGES for path in (root / name).rglob("*.py")):
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {source}\n".encode())
    return digest.hexdigest()
