"""An actor's identity: an nkey, made on the actor's machine, whose public half is its id."""

import os
from pathlib import Path
from typing import Self

import nkeys

from broker.program.private_file import read_private, write_private
from schemas.errors import UserError


class ActorKey:
    """The key pair of an actor, in the form of a NATS account key."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self.public: str = bytes(nkeys.from_seed(seed).public_key).decode()
        """The actor's id: 56 letters and digits, of which the first is A."""

    @classmethod
    def generate(cls) -> Self:
        return cls(bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT)))

    def save(self, path: Path) -> None:
        """Raises UserError when the file is already there or cannot be written."""
        write_private(path, self._seed + b"\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UserError when the file is missing, readable by others, or holds no such key."""
        seed = read_private(path).strip()
        try:
            key = cls(seed)
        except (nkeys.NkeysError, ValueError):
            raise UserError(f"{path} does not hold an actor's key") from None
        if not key.public.startswith("A"):
            raise UserError(f"{path} holds a key of another kind than an actor's")
        return key
