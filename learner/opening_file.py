"""`runs/<name>/opening.json`: how a run is opened, the very event that its log begins with.

It is written when the initial policy is published, so a file that is there is complete. This module
knows no torch.
"""

from pathlib import Path

import msgspec

from schemas.atomic_file import write_atomically
from schemas.errors import UserError
from schemas.ledger import RunOpened


def write_opening(path: Path, opened: RunOpened) -> None:
    """Write the file, whole or not at all."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(opened)) + b"\n")


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
