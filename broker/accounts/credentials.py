"""A user's credentials: what the operator signed about him, and the seed of his key, in one file.

The file has the form that all NATS clients read.
"""

import hashlib
import re
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from broker.accounts import jwt
from broker.accounts.nkey import Kind, Nkey, is_public
from broker.program.private_file import read_private, write_private
from schemas.errors import UserError

_FILE: Final = """\
-----BEGIN NATS USER JWT-----
{token}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""
_PARTS: Final = re.compile(r"-{3,}BEGIN [A-Z ]+-{3,}\s+([A-Za-z0-9_.\-]+)\s+-{3,}END [A-Z ]+-{3,}")


class Credentials(Struct, frozen=True, kw_only=True):
    """What a connection logs in with. Its text shows no secret."""

    token: str
    seed: bytes

    def __post_init__(self) -> None:
        if jwt.read(self.token).sub != self.key.public:
            raise ValueError("the key is not the one that the token is about")

    def __repr__(self) -> str:
        return f"Credentials({self.key.public})"

    @property
    def key(self) -> Nkey:
        return Nkey(self.seed)

    @property
    def inbox_prefix(self) -> str:
        """Beginning of the subjects where this user hears answers; his alone."""
        return inboxes(self.key.public)

    def message_id(self, data: bytes) -> str:
        """The id under which this user publishes these bytes, each time that he does.

        Nobody else can tell it, not even who knows the bytes. A queue drops a message whose id it
        has seen, from whomever: one that can be told can be taken.
        """
        return hashlib.blake2b(data, key=self.seed, digest_size=32).hexdigest()

    def save(self, path: Path) -> None:
        """Raises UserError when the file is already there or cannot be written."""
        write_private(path, self.text().encode())

    def text(self) -> str:
        """As the file holds them."""
        return _FILE.format(token=self.token, seed=self.seed.decode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UserError when the file is missing, readable by others, or holds none."""
        try:
            return cls.parse(read_private(path).decode("ascii"))
        except ValueError as error:
            raise UserError(f"{path} holds no credentials: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError when the text holds none."""
        found = _PARTS.findall(text)
        if len(found) != 2:
            raise ValueError("not a token and a seed")
        token, seed = found[0], found[1].encode()
        if not is_public(Nkey(seed).public, Kind.USER):
            raise ValueError("the key is not a user's")
        return cls(token=token, seed=seed)


def inboxes(user: str) -> str:
    """See `Credentials.inbox_prefix`; `user` is the public key."""
    return f"_INBOX.{user}"
