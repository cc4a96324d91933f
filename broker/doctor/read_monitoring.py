"""Reads what one server tells whoever reaches its monitoring port."""

import time
from typing import Final

import httpx
import msgspec

from broker.doctor.facts import ServerFacts
from broker.doctor.read_greeting import clock_between
from broker.doctor.varz import Healthz, Varz, server_facts
from broker.policies.download import open_http
from broker.program.endpoint import on_this_machine, shown
from schemas.errors import UserError

_TIMEOUT_S: Final = 3.0


async def read_by_monitoring(url: str) -> ServerFacts:
    """The server whose `http_port` answers at a URL.

    Raises:
        UserError: none does.
    """
    asked = time.time()
    try:
        async with open_http() as http:
            answer = await http.get(f"{url.rstrip('/')}/varz", timeout=_TIMEOUT_S)
            answered = time.time()
            health = await http.get(f"{url.rstrip('/')}/healthz?details=true", timeout=_TIMEOUT_S)
        varz = msgspec.json.decode(answer.content, type=Varz)
        healthz = msgspec.json.decode(health.content, type=Healthz)
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = str(error) or type(error).__name__
        raise UserError(
            f"no nats-server tells about itself at {shown(url)} ({why}): give the URL of its "
            "`http_port`, as http://HOST:8222 is one"
        ) from None
    clock = clock_between(asked, varz.now.timestamp(), answered)
    return server_facts(varz, healthz, clock, here=on_this_machine(url))
