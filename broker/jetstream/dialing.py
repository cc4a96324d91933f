"""How a server is called: who calls, over what, and whom the caller trusts."""

import base64
import importlib.util
import ssl
from collections.abc import Sequence
from typing import Any, Final

from broker.accounts.credentials import Credentials
from schemas.errors import UserError

_WEBSOCKET: Final = ("ws://", "wss://")
_ENCRYPTED: Final = ("tls://", "wss://")


def check_installed(servers: Sequence[str]) -> None:
    """Raises UserError when a server is to be reached by what is not installed."""
    # nats-py would try again until the time is up, and say only that it cannot.
    needed = any(server.startswith(_WEBSOCKET) for server in servers)
    if needed and importlib.util.find_spec("aiohttp") is None:
        raise UserError("ws:// and wss:// need aiohttp: pip install 'tributary-rl[websocket]'")


def must_encrypt(servers: Sequence[str], tls_ca: str) -> bool:
    """Whether the caller asks for TLS, whatever the server says."""
    return bool(tls_ca) or any(server.startswith(_ENCRYPTED) for server in servers)


def login(credentials: Credentials | None) -> dict[str, Any]:
    """What nats-py is told about who connects."""
    if credentials is None:
        return {}
    key = credentials.key
    return {
        "user_jwt_cb": lambda: credentials.token.encode(),
        "signature_cb": lambda nonce: base64.b64encode(key.sign(nonce.encode())),
        "inbox_prefix": credentials.inbox_prefix,
    }


def trust(tls_ca: str) -> dict[str, Any]:
    """What nats-py is told about whose certificates are trusted; `tls_ca` is a PEM or empty.

    Raises:
        UserError: the PEM is none.
    """
    if not tls_ca:
        return {}
    try:
        return {"tls": ssl.create_default_context(cadata=tls_ca)}
    except ssl.SSLError as error:
        raise UserError(f"the certificate of the server's authority is none: {error}") from None
