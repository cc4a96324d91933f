"""Reads what a server tells whoever reaches its monitoring port."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
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
    async with open_http() as http:
        return await _read(http, url)


async def read_all(urls: Sequence[str]) -> list[ServerFacts | None]:
    """As `read_by_monitoring`, of several servers; None for one that does not answer."""

    async def read(url: str) -> ServerFacts | None:
        with contextlib.suppress(UserError):
            return await _read(http, url)

    async with open_http() as http:
        return await asyncio.gather(*map(read, urls))


async def _read(http: httpx.AsyncClient, url: str) -> ServerFacts:
    base, asked = url.rstrip("/"), time.time()
    try:
        answer = await http.get(f"{base}/varz", timeout=_TIMEOUT_S)
        answered = time.time()
        health = await http.get(f"{base}/healthz?details=true", timeout=_TIMEOUT_S)
        varz = msgspec.json.decode(answer.content, type=Varz)
        healthz = msgspec.json.decode(health.content, type=Healthz)
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = str(error) or type(error).__name__
        raise UserError(
            f"no nats-server tells about itself at {shown(url)} ({why}): give the URL of its "
            "`http_port`, as http://HOST:8222 is one"
        ) from None
    if not varz.jetstream.config:
        raise UserError(f"the nats-server that tells about itself at {shown(url)} has no JetStream")
    clock = clock_between(asked, varz.now.timestamp(), answered)
    return server_facts(varz, healthz, clock, here=on_this_machine(url))
