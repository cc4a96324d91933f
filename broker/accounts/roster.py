"""Who was invited, who has joined, and who was thrown out: the operator's own list, a file each.

The gate and the operator's command may change it at the same moment; each change holds the lock of
the folder.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from broker.accounts.folder_lock import locked
from broker.accounts.keyring import new_account
from broker.accounts.tier import Tier
from schemas.atomic_file import write_atomically
from schemas.errors import UserError
from schemas.names import token
from schemas.nearest import nearest
from schemas.shard import shard_of
from schemas.types import Detail, Sha256, Token

_LOCK: Final = ".lock"
_COARSE_NS: Final = 2 * 10**9


class Contributor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account of one run."""

    name: Token
    """The operator's word for him; no message bears it."""
    actor: Token
    """His id in every message: the public key of his account."""
    run: Token
    shard: Token
    """The queue that he publishes to."""
    tier: Tier
    ticket_sha256: Sha256
    """Of the secret in his invitation."""
    invited: float
    """This and the other times are Unix seconds."""
    expires: float
    """Of the invitation."""
    user: Annotated[str, Meta(max_length=56)] = ""
    """Public key that has joined; empty: nobody has yet."""
    joined: float = 0.0
    """0: not yet."""
    revoked: float = 0.0
    """0: not."""
    why: Detail = ""
    """Why revoked."""
    to_purge: bool = False
    """True: what he has left in the queue is to be removed, and has not been yet."""


class Roster:
    """The contributors of all runs, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: list[Contributor] = []
        self._read_at = 0
        self.damaged: Sequence[UserError] = ()
        """A sentence for each file that could not be read the last time."""

    def all(self) -> Sequence[Contributor]:
        """In the order of their invitations.

        Raises:
            UserError: a file is damaged or cannot be read.
        """
        known = self.readable()
        if self.damaged:
            raise self.damaged[0]
        return known

    def readable(self) -> Sequence[Contributor]:
        """All whose files can be read, in the order of their invitations; the others' files are in
        `damaged`. Files are read again only when one has changed."""
        # A file is changed by putting another one in its place, which changes the folder.
        changed = self._folder.stat().st_mtime_ns if self._folder.exists() else 0
        # A folder's clock is coarse: another change may have come within the same tick.
        is_fresh = time.time_ns() - changed < _COARSE_NS
        # And a file may be mended in its place.
        if changed != self._read_at or is_fresh or self.damaged:
            found, damaged = list[Contributor](), list[UserError]()
            for path in sorted(self._folder.glob("*.json")):
                try:
                    found.append(_read(path))
                except UserError as error:
                    damaged.append(error)
            self._known = sorted(found, key=lambda one: one.invited)
            self._read_at, self.damaged = changed, damaged
        return self._known

    def find(self, name: str) -> Contributor:
        """Raises UserError when there is nobody of that name or id; says who is nearest."""
        known = self.readable()
        for one in known:
            if name in (one.name, one.actor):
                return one
        if self.damaged:
            raise self.damaged[0]  # It may be his.
        near = nearest(name, [one.name for one in known])
        hint = f"; the nearest is {near}" if near else ""
        raise UserError(f"nobody called {name[:80]!r} was invited{hint}")

    def of_ticket(self, ticket: str) -> Contributor | None:
        """Who was invited with this secret.

        Raises:
            UserError: nobody whose file can be read, and a file cannot.
        """
        digest = ticket_sha256(ticket)
        for one in self.readable():
            if one.ticket_sha256 == digest:
                return one
        if self.damaged:
            raise self.damaged[0]
        return None

    def add(self, contributor: Contributor) -> None:
        """Raises UserError when the name is taken, or is none."""
        try:
            token(contributor.name)
        except ValueError as error:
            raise UserError(str(error)) from None
        with locked(self._folder / _LOCK):
            path = self._path(contributor.name)
            if path.exists():
                raise UserError(
                    f"{contributor.name} was invited already: choose another name, or revoke him "
                    "and forget him first"
                )
            _write(path, contributor)

    def change(self, name: str, change: Callable[[Contributor], Contributor]) -> Contributor:
        """Change what is said of one contributor, and nothing else meanwhile; returns it.

        What `change` raises is passed on, and nothing is changed.
        """
        with locked(self._folder / _LOCK):
            path = self._path(name)
            changed = change(_read(path))
            _write(path, changed)
            return changed

    def revoke(self, name: str, why: str, *, to_purge: bool = False) -> Contributor:
        """Say that he is thrown out; the first time and reason stay."""

        def change(one: Contributor) -> Contributor:
            if one.revoked:
                return one
            return replace(one, revoked=time.time(), why=why[:500], to_purge=to_purge)

        return self.change(name, change)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def ticket_sha256(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


def account_in(shards: Sequence[str], wanted: str) -> str:
    """A new account whose id falls onto the wanted one of a run's shards.

    It takes as many keys as there are shards, on average.
    """
    while True:
        actor = new_account()
        if shard_of(actor, shards) == wanted:
            return actor


def _read(path: Path) -> Contributor:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contributor)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the contributor {path}: {error}; mend it or put back a copy of it: until "
            "then the gate does not know him"
        ) from None


def _write(path: Path, contributor: Contributor) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(contributor)) + b"\n")
