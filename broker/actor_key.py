"""An actor's identity: an nkey, made on the actor's machine, whose public half is its id.

For runs whose servers ask nobody who he is; elsewhere the operator makes the ids (`accounts`).
"""

from pathlib import Path
from typing import Self

from broker.accounts.nkey import Kind, Nkey, is_public
from broker.program.private_file import read_private
from schemas.errors import UserError


class ActorKey:
    """The key pair of an actor, in the form of a NATS account key."""

    def __init__(self, seed: bytes) -> None:
        self._key = Nkey(seed)
        self.public: str = self._key.public
        """The actor's id: 56 letters and digits, of which the first is A."""

    @classmethod
    def generate(cls) -> Self:
        return cls(Nkey.generate(Kind.ACCOUNT).seed)

    def save(self, path: Path) -> None:
        """Raises UserError when the file is already there or cannot be written."""
        self._key.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UserError when the file is missing, readable by others, or holds no such key."""
        try:
            key = cls(read_private(path).strip())
        except ValueError:
            raise UserError(f"{path} does not hold an actor's key") from None
        if not is_public(key.public, Kind.ACCOUNT):
            raise UserError(f"{path} holds a key of another kind than an actor's")
        return key
