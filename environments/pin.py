"""Names what an environment is, so that both sides know that they run the same one."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from schemas.lease import EnvironmentRef
from schemas.settings import EnvironmentSettings

_PACKAGE: Final = Path(__file__).resolve().parent


def pin(settings: EnvironmentSettings, version: str, source: str) -> EnvironmentRef:
    """The ref of the environment in the file `source`, under these settings.

    Its digest covers that file and every file of this package that it imports: they decide tasks,
    tokens and rewards. Messages and settings (`schemas`) have a version of their own.
    """
    digest = hashlib.sha256(msgspec.json.encode([version, settings], order="deterministic"))
    for path in _sources(Path(source).resolve()):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return EnvironmentRef(
        id=settings.id,
        smallest=settings.smallest,
        largest=settings.largest,
        train_on=settings.train_on,
        version=version,
        digest=digest.hexdigest(),
    )


def _sources(source: Path) -> list[Path]:
    """The file, and all of this package that it imports, directly or through others."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [file for file in _imported(path) if file.is_file()]
    return sorted(found)


def _imported(path: Path) -> Iterator[Path]:
    """Where a module of this package would lie, for each name that a file imports."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                modules = [f"{module}.{alias.name}" for alias in names]
            case _:
                continue
        for module in modules:
            package, *inside = module.split(".")
            if package == _PACKAGE.name and inside:
                yield _PACKAGE / f"{inside[0]}.py"
