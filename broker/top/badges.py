"""Names and tiers of actors, as the operator's roster of contributors has them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from broker.accounts.roster import Contributor, Roster
from broker.top.view import Badge

Badges = Callable[[], Mapping[str, Badge]]

REVOKED: Final = "revoked"
"""Instead of the tier of who was thrown out."""


def badges_in(accounts: str) -> Badges:
    """What a folder of accounts says, as of each call; nothing where there are no accounts."""
    if not accounts:
        return dict
    roster = Roster(Path(accounts) / "contributors")
    return lambda: {one.actor: _badge(one) for one in roster.all()}


def _badge(contributor: Contributor) -> Badge:
    return Badge(contributor.name, REVOKED if contributor.revoked else str(contributor.tier))
