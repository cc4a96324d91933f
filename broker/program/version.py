"""Which Tributary this is: the distribution's version, and a digest of the learner's code."""

import hashlib
from pathlib import Path
from typing import Final

_DISTRIBUTION: Final = "tributary-rl"
_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("schemas", "broker", "environments", "learner")


def version_line() -> str:
    """What `--version` prints; the digest is the one that a run's opening names."""
    from importlib.metadata import version

    return f"{_DISTRIBUTION} {version(_DISTRIBUTION)}, code {code_sha256()}"


def code_sha256(root: Path = _ROOT) -> str:
    """Digest of the source files of the learner's packages."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _PACKAGES for path in (root / name).rglob("*.py")):
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {source}\n".encode())
    return digest.hexdigest()
