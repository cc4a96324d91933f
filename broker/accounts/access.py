"""The credentials of the operator's side: a file for each role of each run, in one folder.

    credentials/admin.creds                the operator's own
    credentials/system.creds
    credentials/<run>/coordinator.creds    and so for each role that a run has

A machine that only coordinates a run needs that one file, under the same names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from broker.accounts import jwt, rights
from broker.accounts.credentials import Credentials
from broker.accounts.folder_lock import locked
from broker.accounts.keyring import Keyring, is_keyring
from broker.accounts.rights import Rights, Role
from broker.accounts.server_config import write_server_config
from schemas.errors import UserError
from schemas.listed import listed
from schemas.names import token

SERVER_CONFIG: Final = "accounts.conf"
_FOLDER: Final = "credentials"
_RESOLVER: Final = Path("/var/lib/nats/jwt")
"""Where a server keeps accounts, beside its streams."""
_LOCK: Final = ".lock"


def make_credentials(
    keyring: Keyring, folder: Path, run: str = "", shards: Sequence[str] = ()
) -> list[Path]:
    """Credentials of the operator's side in the folder of a keyring, and those of a run if one is
    named. Files that are there and say the right thing stay; returns those that were written.

    Raises:
        UserError: a file cannot be written.
    """
    accounts = keyring.accounts
    wanted = {
        _path(folder, Role.ADMIN): (accounts.core, rights.ALL, "admin"),
        _path(folder, Role.SYSTEM): (accounts.system, rights.ALL, "system"),
    }
    if run:
        of_run = {
            Role.COORDINATOR: rights.coordinator(run, shards),
            Role.TRAINER: rights.trainer(run),
            Role.OBSERVER: rights.observer(run, shards),
            Role.GATE: rights.gate(run, shards),
        }
        for role, may in of_run.items():
            wanted[_path(folder, role, run)] = (accounts.core, may, f"{role}-{run}")
    if all(_says(path, may) for path, (_, may, _) in wanted.items()):
        return []  # Without a lock: nobody need be able to write the folder.
    written: list[Path] = []
    with locked(folder / _FOLDER / _LOCK):
        for path, (account, may, name) in wanted.items():
            if not _says(path, may):
                path.unlink(missing_ok=True)
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                keyring.new_user(account, may, name=name).save(path)
                written.append(path)
    return written


def make_run_credentials(folder: str, run: str, shards: Sequence[str]) -> None:
    """Credentials of a run's roles, if the folder has the operator's keys; else nothing.

    Raises:
        UserError: a file cannot be written, or the keys are damaged or others can read them.
    """
    if folder and is_keyring(Path(folder)):
        make_credentials(Keyring.load(Path(folder)), Path(folder), run, shards)


def found_authority(folder: str) -> bool:
    """Make an operator's keys, and the part of a server's configuration that trusts them, in a
    folder that is not there yet; True when that was done. If another process is about it, it has
    done all of it before this returns.

    Raises:
        UserError, OSError: the folder cannot be written.
    """
    path = Path(folder)
    # There while somebody is about it, or was and was ended: then this one goes on.
    founding = path.parent / f".{path.name}.founding"
    if not folder or (path.exists() and not founding.exists()):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(founding):
        is_new = not (path / SERVER_CONFIG).exists()
        if is_new:
            keyring = Keyring.open(path)
            make_credentials(keyring, path)
            write_server_config(path / SERVER_CONFIG, keyring, _RESOLVER)
        founding.unlink(missing_ok=True)
    return is_new


def find_credentials(folder: str | Path, *roles: Role, run: str = "") -> Credentials | None:
    """The credentials of the first of these roles that the folder has; None without a folder.

    Raises:
        UserError: it has none of them, or they are damaged or others can read them.
    """
    if not str(folder):
        return None
    paths = [_path(Path(folder), role, run or _only_run(Path(folder))) for role in roles]
    for path in paths:
        if path.exists():
            return Credentials.load(path)
    whose = listed(roles, "or") + (f" of run {run}" if run else "")
    raise UserError(
        f"{folder} has no credentials of {whose} ({paths[0]}); `broker init` makes them where the "
        "operator's keys are"
    )


def _only_run(folder: Path) -> str:
    """The run that there are credentials for; `any` when there are none, or of several runs."""
    runs = [path.name for path in (folder / _FOLDER).glob("*/")]
    return runs[0] if len(runs) == 1 else "any"


def _path(folder: Path, role: Role, run: str = "") -> Path:
    if role in (Role.ADMIN, Role.SYSTEM):
        return folder / _FOLDER / f"{role}.creds"
    return folder / _FOLDER / token(run) / f"{role}.creds"


def _says(path: Path, may: Rights) -> bool:
    """Whether a file grants exactly these rights."""
    if not path.exists():
        return False
    said = jwt.read_user(Credentials.load(path).token)
    return said.pub.allow == may.publish and said.sub.allow[1:] == may.subscribe
