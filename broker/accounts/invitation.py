"""An invitation: one link, or one file, that lets one contributor into one run, once."""

import base64
import time
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

from broker.accounts.credentials import Credentials
from schemas.errors import UserError
from schemas.join import Ticket
from schemas.run_card import Certificate, NatsUrl
from schemas.types import Sha256, Token

_SCHEME: Final = "tributary:join:"
_MAX_BYTES: Final = 65_536


class Invitation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secret until it is used. Its text shows no secret."""

    run: Token
    nats: NatsUrl
    tls_ca: Certificate = ""
    run_key: Sha256
    """Public half of the run's key, in hex: who answers with another one is somebody else."""
    ticket: Ticket
    guest: Annotated[str, Meta(max_length=8192)]
    """Credentials that may put the one request and nothing else, as their file holds them."""
    expires: Annotated[float, Meta(ge=0, le=1e12)]
    """Unix seconds."""

    def __repr__(self) -> str:
        return f"Invitation({self.run})"

    def link(self) -> str:
        """One line, to be sent over a channel that nobody else reads."""
        return _SCHEME + base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")

    def guest_credentials(self) -> Credentials:
        """Raises UserError when the invitation is damaged."""
        try:
            return Credentials.parse(self.guest)
        except ValueError as error:
            raise UserError(f"this invitation is damaged: {error}") from None

    def check_time(self) -> None:
        """Raises UserError when it has expired, by this machine's clock."""
        if time.time() > self.expires:
            raise UserError("this invitation has expired: ask the run's operator for another one")

    @classmethod
    def parse(cls, link: str) -> Self:
        """Raises UserError when the link is none, or is damaged."""
        text = "".join(link.split())
        if not text.startswith(_SCHEME) or len(text) > _MAX_BYTES:
            raise UserError(f"this is no invitation: one begins with {_SCHEME}")
        try:
            data = base64.b64decode(
                text.removeprefix(_SCHEME) + "=" * (-len(text.removeprefix(_SCHEME)) % 4),
                altchars="-_",
                validate=True,
            )
            return msgspec.msgpack.decode(data, type=cls)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise UserError("this invitation is damaged: it was not copied whole") from None


def read_invitation(link_or_file: str) -> Invitation:
    """An invitation from the link itself, or from a file that holds it.

    Raises:
        UserError: it is none, or damaged.
    """
    if link_or_file.startswith(_SCHEME):
        return Invitation.parse(link_or_file)
    try:
        with open(Path(link_or_file).expanduser(), encoding="ascii") as file:
            return Invitation.parse(file.read(_MAX_BYTES))
    except OSError as error:
        raise UserError(
            f"{link_or_file[:80]!r} is no invitation, which begins with {_SCHEME}, nor a file with "
            f"one: {error.strerror}"
        ) from None
    except (ValueError, RuntimeError):  # no text in it, or a path that is none
        raise UserError(f"{link_or_file[:80]!r} holds no invitation") from None
