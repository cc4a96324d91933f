"""The runs that this machine contributes to: a card, an id and credentials for each, in its home.

    memberships/<run>.json    what the run is, and who this actor is in it
    memberships/<run>.creds   the token that the operator signed, and the key that was made here
    memberships/<run>.joining the key of one who asks to be let in, until he is

Where servers ask nobody who he is, a run card is enough, and the id is that of the home's own key.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from actors.identity import make_private, open_key
from broker.accounts.credentials import Credentials
from broker.program.os_error import in_words
from schemas.atomic_file import write_atomically
from schemas.errors import UserError
from schemas.run_card import RunCard, read_run_card
from schemas.types import Token

MEMBERSHIPS: Final = "memberships"
"""The folder of them all, in a home."""


class _Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds."""

    actor: Token
    card: RunCard


class Membership(Struct, frozen=True, kw_only=True):
    """Who this machine is in a run."""

    card: RunCard
    actor: str
    credentials: Credentials | None
    """None: the servers ask for none."""

    @classmethod
    def by_card(cls, card: RunCard, home: Path) -> Self:
        """In a run whose servers ask nobody who he is; makes the home's key if there is none.

        Raises:
            UserError: the home cannot be used.
        """
        return cls(card=card, actor=open_key(home).public, credentials=None)


def save_membership(home: Path, membership: Membership) -> None:
    """Raises UserError when the home has one of a run with that name, or cannot be written."""
    assert membership.credentials is not None
    card, credentials = _paths(home, membership.card.run)
    try:
        make_private(card.parent)
        # The card last: it says that all is there.
        membership.credentials.save(credentials)
        kept = _Kept(actor=membership.actor, card=membership.card)
        write_atomically(card, msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    except OSError as error:
        raise UserError(f"not joined yet: {in_words(error, str(card.parent))}") from None


def check_not_joined(home: Path, run: str) -> None:
    """Raises UserError when this machine has joined a run of that name already."""
    card, credentials = _paths(home, run)
    if card.exists():
        raise UserError(
            f"this machine has joined run {run} already: `actor start {run}` works for it, "
            f"`actor leave {run}` ends it"
        )
    credentials.unlink(missing_ok=True)


def joined(home: Path) -> Sequence[str]:
    """The names of the runs that this machine has joined, sorted."""
    return sorted(path.stem for path in (home / MEMBERSHIPS).glob("*.json"))


def find_membership(home: Path, named: str) -> Membership:
    """The membership that is meant: a run that was joined, the only one, or one by its card.

    Raises:
        UserError: there is none, or several and none is named; or a file is damaged.
    """
    if named.endswith(".json") or "/" in named:
        return Membership.by_card(read_run_card(Path(named)), home)
    runs = joined(home)
    if not named and len(runs) == 1:
        return load_membership(home, runs[0])
    if named in runs:
        return load_membership(home, named)
    there = f"; it has joined {', '.join(runs)}" if runs else ""
    if named:
        raise UserError(f"this machine has joined no run called {named[:80]!r}{there}")
    if runs:
        raise UserError(f"say which run: {', '.join(runs)}")
    raise UserError("this machine has joined no run yet: `actor join LINK`, or name a run card")


def load_membership(home: Path, run: str) -> Membership:
    """Raises UserError when a file of it is missing, damaged, or others can read the key."""
    kept = _read(home, run)
    credentials = Credentials.load(_paths(home, run)[1])
    return Membership(card=kept.card, actor=kept.actor, credentials=credentials)


def card_of(home: Path, run: str) -> RunCard:
    """The card of a run that was joined. Raises UserError when it is missing or damaged."""
    return _read(home, run).card


def _read(home: Path, run: str) -> _Kept:
    path, _ = _paths(home, run)
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be used: {error}; `actor leave {run}` forgets the run, and the "
            "operator can invite you again"
        ) from None


def forget_membership(home: Path, run: str) -> list[Path]:
    """Remove all keys of a run, and its card first, so that nothing half is left; returns what."""
    there = [path for path in (*_paths(home, run), joining_key(home, run)) if path.exists()]
    for path in there:
        path.unlink()
    return there


def joining_key(home: Path, run: str) -> Path:
    """Where the key is that asks to be let in into a run."""
    return home / MEMBERSHIPS / f"{run}.joining"


def _paths(home: Path, run: str) -> tuple[Path, Path]:
    folder = home / MEMBERSHIPS
    return folder / f"{run}.json", folder / f"{run}.creds"
