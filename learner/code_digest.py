"""The digest of the code that a run was opened with, and a warning where it is read again.

Other code is no error: whether it computes the same is for the digests of the policies to say.
"""

import hashlib
from pathlib import Path
from typing import Final

import structlog

from schemas.ledger import RunOpened

_ROOT: Final = Path(__file__).parent.parent
_PACKAGES: Final = ("schemas", "broker", "environments", "learner")

logger = structlog.get_logger()


def code_sha256(root: Path = _ROOT) -> str:
    """Digest of the source files of the learner's packages."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _PACKAGES for path in (root / name).rglob("*.py")):
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {source}\n".encode())
    return digest.hexdigest()


def warn_of_other_code(opened: RunOpened) -> None:
    """Say so when the code here is not the code that the run was opened with."""
    if code_sha256() != opened.code_sha256:
        logger.warning(
            "other-code",
            detail=f"run {opened.settings.name} was opened with other code than is installed "
            "here; what it computes is still compared with what is published",
        )
