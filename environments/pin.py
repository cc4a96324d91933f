"""Names what an environment is, so that both sides know that they run the same one."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from schemas.lease import EnvironmentRef
from schemas.settings import EnvironmentSettings

_SHARED: Final = ("characters.py", "draw.py", "renderer.py", "scoring.py", "single_turn.py")
"""Source files that decide the tasks, tokens and rewards of every built-in environment."""


def pin(settings: EnvironmentSettings, version: str, source: str) -> EnvironmentRef:
    """The ref of the environment in the file `source`, under these settings."""
    path = Path(source)
    digest = hashlib.sha256(msgspec.json.encode([version, settings], order="deterministic"))
    for file in (path, *(path.with_name(name) for name in _SHARED)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return EnvironmentRef(
        id=settings.id,
        smallest=settings.smallest,
        largest=settings.largest,
        train_on=settings.train_on,
        version=version,
        digest=digest.hexdigest(),
    )
