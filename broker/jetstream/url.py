"""The URL of a NATS server, or of each node of a cluster with commas between.

>>> each_url("broker.example.org"), each_url("nats://127.0.0.1:4222, nats://127.0.0.1:4223")
(['broker.example.org'], ['nats://127.0.0.1:4222', 'nats://127.0.0.1:4223'])
>>> str(no_answer("nats://a", TimeoutError(), timeout_s=3))
'no NATS server answers at nats://a (silence for 3 s)'
"""

import errno
import os
import re
from typing import Final
from urllib.parse import urlsplit

from broker.program.endpoint import shown
from schemas.errors import ServerMissing, UserError

_SCHEMES: Final = ("nats", "tls", "ws", "wss")
_UNTRUSTED: Final = re.compile(r"certificate verify failed: ([^(]*[^( ])")
_REFUSAL: Final = re.compile(r"authorization|authentication", re.IGNORECASE)
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]+\Z")


def each_url(url: str) -> list[str]:
    """The URLs that are named. Raises UserError unless each is that of a NATS server.

    Scheme and port may be left out. nats-py itself raises anything at all for some that are none.
    """
    each = [part.strip() for part in url.split(",")]
    if not all(map(_is_sound, each)):
        raise UserError(f"{shown(url)!r} is no URL of a NATS server, as nats://HOST:4222 is one")
    return each


def _is_sound(url: str) -> bool:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        host = _HOST.match(parts.hostname or "")
        return parts.scheme in _SCHEMES and host is not None and parts.port != 0
    except ValueError:
        return False


def no_answer(url: str, error: Exception, *, timeout_s: float) -> ServerMissing:
    """What to raise when connecting has failed."""
    refused = f"[Errno {errno.ECONNREFUSED}]" in str(error)
    why = os.strerror(errno.ECONNREFUSED) if refused else _words(error, timeout_s)
    sentence = f"no NATS server answers at {shown(url)} ({why})"
    return ServerMissing(sentence, nobody_at=url if refused else "", refuses=is_refusal(error))


def is_refusal(error: Exception | None) -> bool:
    """Whether a server does not know who connects, or does not want him any more.

    >>> is_refusal(Exception("nats: user authentication revoked")), is_refusal(TimeoutError())
    (True, False)
    """
    return _REFUSAL.search(str(error)) is not None


def _words(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"silence for {timeout_s:g} s"
    if untrusted := _UNTRUSTED.search(str(error)):
        return f"its certificate is not one to trust: {untrusted[1]}"
    said = error.strerror if isinstance(error, OSError) else str(error)
    return said or type(error).__name__
