"""A server's URL in a sentence: named once, and without its password.

The nodes of a cluster are named by one URL each, with commas between.

>>> shown("nats://actor:secret@broker.example.org:4222"), shown("127.0.0.1:4222")
('nats://broker.example.org:4222', '127.0.0.1:4222')
>>> shown("nats://actor:a,b@c:4222, nats://actor:a,b@d:4222")
'nats://c:4222, nats://d:4222'
>>> told("object storage", "http://a:1", ValueError("no luck at http://a:1/key"))
'no luck at http://a:1/key'
>>> told("object storage", "http://a:1", ValueError("it answers 403"))
'object storage at http://a:1: it answers 403'
>>> on_this_machine("nats://broker.example.org:4222"), on_this_machine("localhost")
(False, True)
"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_USER: Final = re.compile(r"^([a-z0-9]+://)?.*@")
_NEXT: Final = re.compile(r"\s*,\s*(?=[a-z0-9]+://)")
"""Only a scheme tells the comma before it from one in a password."""


def shown(url: str) -> str:
    """The URL without user and password."""
    parts = _NEXT.split(url)
    return ", ".join(_USER.sub(lambda found: found[1] or "", part) for part in parts)


def told(server: str, url: str, error: Exception) -> str:
    """What an error says, and of which server, where it does not name the URL itself."""
    sentence = str(error)
    return sentence if url and url in sentence else f"{server} at {shown(url)}: {sentence}"


def on_this_machine(url: str) -> bool:
    """Whether a URL names this machine by its loopback address."""
    url = url.partition(",")[0]
    host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
