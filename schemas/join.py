"""How who was invited asks to be let in, and what he is told; see `broker.accounts`."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.run_card import RunCard
from schemas.types import Detail

UserKey = Annotated[str, Meta(pattern=r"^U[A-Z2-7]{55}\Z")]
"""Public half of a NATS user's key."""
Ticket = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
"""The secret of an invitation: good for one key, until it expires."""


class JoinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To `join.<run>`. It may be repeated with the same key: the answer may have been lost."""

    ticket: Ticket
    user: UserKey
    """Made on the contributor's machine, where its private half stays."""


class JoinReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either lets in or says why not."""

    token: Annotated[str, Meta(max_length=16_384)] = ""
    """What the operator signed about the user; empty: not let in."""
    card: RunCard | None = None
    """None: not let in."""
    refusal: Detail = ""
    """Why not, for the contributor to read."""
    for_now: bool = False
    """True: the same request may be granted later."""
