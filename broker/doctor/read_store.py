"""Tries the object storage out with two scratch objects, which are removed again."""

import email.utils
import secrets
import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx

from broker.doctor.facts import Clock, StoreFacts
from broker.objects.write_once import check_write_once
from broker.policies.download import open_http
from broker.store import Store
from schemas import names
from schemas.errors import StoreDenied, StoreUnavailable

_DATA: Final = b"is anybody there?"
_LIFETIME_S: Final = 60.0
_TIMEOUT_S: Final = 5.0
_SIGNATURE: Final = "X-Amz-Signature="


async def read_store(store: Store) -> StoreFacts:
    """Write, read by a URL, and remove.

    Raises:
        StoreDenied: the storage refuses us, or has no such bucket.
        StoreUnavailable: it does not answer.
    """
    key = names.scratch_key(secrets.token_hex(16))
    # Some storages make a bucket at the first write into it: that is not for us to do.
    await store.list(key)
    await store.put(key, _DATA)
    try:
        once = await _refuses_second_write(store)
        url = store.presign_get(key, lifetime_s=_LIFETIME_S)
        async with open_http() as http:
            whole = await http.get(url, timeout=_TIMEOUT_S)
            answered = time.time()
            part = await http.get(url, headers={"Range": "bytes=3-6"}, timeout=_TIMEOUT_S)
            forged = await http.get(_forged(url), timeout=_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise StoreUnavailable(f"the object storage does not answer a GET: {error}") from None
    finally:
        await store.delete(key)
    return StoreFacts(
        refuses_second_write=once,
        signature=parse_qs(urlsplit(url).query).get("X-Amz-Algorithm", [""])[0],
        status=whole.status_code,
        same_bytes=whole.content == _DATA,
        range_status=part.status_code,
        forged_status=forged.status_code,
        clock=_clock(whole, answered),
    )


async def _refuses_second_write(store: Store) -> bool:
    try:
        await check_write_once(store)
    except StoreDenied:
        return False
    return True


def _forged(url: str) -> str:
    """The URL with another signature.

    >>> _forged("http://a/b?X-Amz-Signature=0f&c=d")
    'http://a/b?X-Amz-Signature=ff&c=d'
    """
    start = url.find(_SIGNATURE) + len(_SIGNATURE)
    return f"{url[:start]}{'0' if url[start] == 'f' else 'f'}{url[start + 1 :]}"


def _clock(answer: httpx.Response, answered: float) -> Clock | None:
    """The storage says whole seconds, so on the average half of one is missing."""
    try:
        told = email.utils.parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    took_s = answer.elapsed.total_seconds()
    return Clock(ahead_s=told.timestamp() + 0.5 - (answered - took_s / 2), error_s=0.5 + took_s / 2)
