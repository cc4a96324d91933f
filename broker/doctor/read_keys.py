"""Finds the key files of this machine that the servers and the runs rest on."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.doctor.facts import KeyFile
from schemas.settings import Connection

_OF_SERVERS: Final = ("s3-credentials.json", "s3-identities.json")
_OF_RUNS: Final = "*/run.key"


def read_keys(connection: Connection, servers: Path, runs: Path) -> list[KeyFile]:
    """Those that are there, of a connection, of the servers of a directory, and of its runs."""
    named = [Path(connection.s3_credentials).expanduser()] if connection.s3_credentials else []
    paths = [*named, *(servers / name for name in _OF_SERVERS), *sorted(runs.glob(_OF_RUNS))]
    return list(_there(dict.fromkeys(path.resolve() for path in paths)))


def _there(paths: Sequence[Path] | dict[Path, None]) -> list[KeyFile]:
    found: list[KeyFile] = []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        mode, ours = stat.S_IMODE(status.st_mode), status.st_uid == os.geteuid()
        found.append(KeyFile(path=str(path), mode=mode, ours=ours))
    return found
