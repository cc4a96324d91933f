"""Who can read the files that hold keys."""

import shlex
from typing import Final

from broker.doctor.facts import KeyFile
from broker.doctor.finding import Finding, critical, fine, warning

_KEYS: Final = "key file"
_OTHERS: Final = 0o077


def check_key(file: KeyFile) -> Finding:
    """Judge one key file."""
    mode = f"mode {file.mode:04o}"
    if file.mode & _OTHERS:
        fix = f"chmod 600 {shlex.quote(file.path)}"
        return critical(_KEYS, file.path, f"{mode}: others can use it", fix)
    if not file.ours:
        fix = f"chown $(id -un) {shlex.quote(file.path)}"
        return warning(_KEYS, file.path, "it belongs to another user", fix)
    return fine(_KEYS, file.path, mode)
