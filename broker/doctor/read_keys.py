"""Finds the key files of this machine that the servers and the runs rest on."""

import os
import stat
from pathlib import Path
from typing import Final

from broker.doctor.facts import KeyFile
from schemas.settings import Connection

_OF_SERVERS: Final = ("s3-credentials.json", "s3-identities.json")
_OF_RUNS: Final = "*/run.key"
_OF_ACCOUNTS: Final = ("*.nk", "*.creds")


def read_keys(connection: Connection, servers: Path, runs: Path) -> list[KeyFile]:
    """Those that are there, of a connection, of the servers of a directory, and of its runs."""
    paths = [servers / name for name in _OF_SERVERS]
    if connection.s3_credentials:
        paths.insert(0, Path(connection.s3_credentials).expanduser())
    if connection.accounts:
        folder = Path(connection.accounts).expanduser()
        paths += (path for kind in _OF_ACCOUNTS for path in sorted(folder.rglob(kind)))
    paths += sorted(runs.glob(_OF_RUNS))
    return [_file(path) for path in dict.fromkeys(map(Path.resolve, paths)) if path.exists()]


def _file(path: Path) -> KeyFile:
    status = path.stat()
    mode, ours = stat.S_IMODE(status.st_mode), status.st_uid == os.geteuid()
    return KeyFile(path=str(path), mode=mode, ours=ours)
