"""`actor leave`: forgets a run, and what was stored for it if that is wanted, too."""

import shutil
from pathlib import Path

from actors.membership import forget_membership, joined, load_membership
from schemas.errors import UserError


def leave(home: Path, run: str, *, delete_data: bool) -> list[Path]:
    """Forget a run; returns what was removed. Nobody can work for it from here any more.

    With `delete_data`, finished groups that were not sent go too, and with the last run the
    policies and everything else in the home.

    Raises:
        UserError: this machine has not joined that run.
    """
    if run not in joined(home):
        raise UserError(f"this machine has joined no run called {run[:80]!r}")
    card = load_membership(home, run).card
    forget_membership(home, run)
    removed = [home / "memberships" / f"{run}.creds"]
    if delete_data:
        spool = home / "spool" / f"{card.run}-{card.run_key[:16]}"
        removed += [path for path in (spool, _whole(home)) if path is not None and path.exists()]
        for path in removed[1:]:
            shutil.rmtree(path)
    return removed


def _whole(home: Path) -> Path | None:
    """The home itself, once it serves no run any more and holds no key of its own."""
    return None if joined(home) or (home / "actor.key").exists() else home
