"""The newest policy that this machine has seen, on disk: what is older is refused from then on."""

from pathlib import Path

import msgspec

from schemas.atomic_file import write_atomically
from schemas.errors import RollbackRefused, UserError
from schemas.policy import PolicyId


class Watermark:
    """Only ever rises."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def advance(self, policy: PolicyId) -> None:
        """Take note of a policy whose announcement is verified.

        Raises:
            RollbackRefused: a newer one has been seen.
            UserError: the file cannot be read.
        """
        seen = self._read()
        if seen is not None and policy < seen:
            raise RollbackRefused(f"policy {policy} is older than {seen}, which was seen before")
        if seen != policy:
            self._write(policy)

    def _read(self) -> PolicyId | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=PolicyId)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"cannot read {self._path}: {error.strerror}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise UserError(f"{self._path} is damaged; remove it to go on") from None

    def _write(self, policy: PolicyId) -> None:
        write_atomically(self._path, msgspec.json.encode(policy))
