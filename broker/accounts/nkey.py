"""A NATS key: Ed25519, written so that one sees what it is the key of."""

import base64
import os
from enum import Enum
from pathlib import Path
from typing import Self

import nkeys

from broker.program.private_file import read_private, write_private
from schemas.errors import UserError


class Kind(Enum):
    """What a key is of; the value is the first letter of its public half."""

    OPERATOR = "O"
    ACCOUNT = "A"
    USER = "U"


_PREFIXES = {
    Kind.OPERATOR: nkeys.PREFIX_BYTE_OPERATOR,
    Kind.ACCOUNT: nkeys.PREFIX_BYTE_ACCOUNT,
    Kind.USER: nkeys.PREFIX_BYTE_USER,
}


class Nkey:
    """A key pair. Its seed is secret; its public half is a name of 56 letters and digits."""

    def __init__(self, seed: bytes) -> None:
        """Raises ValueError when this is the seed of no key."""
        try:
            self._pair = nkeys.from_seed(bytearray(seed))
            self.public: str = bytes(self._pair.public_key).decode()
        except nkeys.NkeysError as error:
            raise ValueError(f"the seed of no key: {type(error).__name__}") from None
        self.seed = bytes(seed)

    @classmethod
    def generate(cls, kind: Kind) -> Self:
        return cls(bytes(nkeys.encode_seed(os.urandom(32), _PREFIXES[kind])))

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return bytes(self._pair.sign(data))

    def save(self, path: Path) -> None:
        """Raises UserError when the file is already there or cannot be written."""
        write_private(path, self.seed + b"\n")

    @classmethod
    def load(cls, path: Path, kind: Kind) -> Self:
        """Raises UserError when the file is missing, readable by others, or holds no such key."""
        try:
            key = cls(read_private(path).strip())
        except ValueError:
            raise UserError(f"{path} does not hold a NATS key") from None
        if not is_public(key.public, kind):
            raise UserError(f"{path} holds a key of another kind than an {kind.name.lower()}'s")
        return key


def is_public(text: str, kind: Kind) -> bool:
    """Whether this is the public half of a key of that kind.

    >>> is_public(Nkey.generate(Kind.USER).public, Kind.USER), is_public("U" * 56, Kind.USER)
    (True, False)
    """
    if len(text) != 56 or not text.startswith(kind.value):
        return False
    try:
        raw = base64.b32decode(text)
    except ValueError:
        return False
    return bytes(nkeys.crc16_checksum(raw[:-2])) == raw[-2:]
