"""The signed claims by which a NATS server knows operators, accounts and users (JWT, version 2).

A token is `header.claims.signature`, each in base64 without padding; the signature is Ed25519 over
the first two with their dot. Its field names are those of nats-io's jwt library.
"""

import base64
import secrets
import time
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from broker.accounts.claims import UserClaims
from broker.accounts.nkey import Nkey

_HEADER: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'

C = TypeVar("C", bound=Struct)


class Head(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What all claims have in common; `nats` holds the rest."""

    jti: str
    """A name of its own: two tokens with equal claims differ."""
    iat: int
    """Unix seconds when it was signed; of two tokens of an account the younger counts."""
    iss: str
    """Public key that signed it."""
    sub: str
    """Public key that it is about."""
    name: str = ""
    exp: int = 0
    """Unix seconds when it ends; 0: never."""


def sign(key: Nkey, subject: str, claims: Struct, *, name: str = "", expires: float = 0) -> str:
    """A token about the public key `subject`, signed now."""
    head = Head(
        jti=secrets.token_hex(16),
        iat=int(time.time()),
        iss=key.public,
        sub=subject,
        name=name,
        exp=int(expires),
    )
    body = {**msgspec.to_builtins(head), "nats": msgspec.to_builtins(claims)}
    text = b".".join([_base64(_HEADER), _base64(msgspec.json.encode(body))])
    return b".".join([text, _base64(key.sign(text))]).decode()


def read(token: str) -> Head:
    """What a token says of itself; its signature is for the server to check.

    Raises:
        ValueError: it is none.
    """
    return _decode(token, Head)


def read_user(token: str) -> UserClaims:
    """What a user's token says that he may do.

    Raises:
        ValueError: it is none.
    """
    return _decode(token, _OfUser).nats


class _OfUser(Struct):
    nats: UserClaims


def _decode(token: str, kind: type[C]) -> C:
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("no token of three parts")
    claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    try:
        return msgspec.json.decode(claims, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no claims: {error}") from None


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
