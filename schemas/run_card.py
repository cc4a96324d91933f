"""The little file that an actor needs to find a run, and to know its key and its tasks."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.atomic_file import write_atomically
from schemas.errors import UserError
from schemas.lease import EnvironmentRef
from schemas.types import Sha256, Token

NatsUrl = Annotated[str, Meta(min_length=1, max_length=1024)]
"""URL of the NATS server, as actors reach it; of a cluster all, with commas between."""
Certificate = Annotated[str, Meta(max_length=16_384)]
"""PEM of who signed the server's TLS certificate; empty: somebody whom this machine trusts."""


class RunCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Written by `learner open` as `run.json`; given to actors."""

    run: Token
    nats: NatsUrl
    tls_ca: Certificate = ""
    run_key: Sha256
    """Public half of the run's Ed25519 key, in hex: actors load nothing that it did not sign."""
    environment: EnvironmentRef
    """Named by every lease of the run: an actor knows before it works whether it has it."""


_WHERE = "`learner open` writes it as run.json into the folder of the run"


def write_run_card(path: Path, card: RunCard) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(card)) + b"\n")


def read_run_card(path: Path) -> RunCard:
    """Raises UserError when the file is missing or not a run card."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunCard)
    except OSError as error:
        raise UserError(f"cannot read the run card {path}: {error.strerror}; {_WHERE}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a run card: {error}; {_WHERE}") from None
