"""The credentials of the object storage, in a JSON file with `access_key` and `secret_key`."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from broker.program.private_file import read_private, write_private
from schemas.errors import UserError


class Credentials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the object storage."""

    access_key: Annotated[str, Meta(min_length=1, max_length=256)]
    secret_key: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Raises UserError when the file is already there or cannot be written."""
    write_private(path, msgspec.json.encode(credentials) + b"\n")


def read_credentials(path: Path) -> Credentials:
    """Raises UserError when the file is missing, readable by others, or of another form."""
    try:
        return msgspec.json.decode(read_private(path), type=Credentials)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a credentials file: {error}") from None
