"""Objects over plain HTTP from a server that is not trusted: bounded, ranged, resumed, verified.

    URL from the grant -> GET, with Range and If-Match when some bytes are there -> `.part` file
      broken off, or slow: go on from there       403: ask for another URL
      5xx, no connection: again, with jitter      other bytes than expected: DigestMismatch

Redirects are not followed, and nothing but http and https is spoken. A server can neither fill the
disk (sizes are known, and enforced as the bytes come in) nor hold a transfer open for ever (a size
and the least rate give the time that all attempts at an object have together).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final

import httpx

from broker import retry
from broker.parallel import run_in_thread
from broker.policies.part_file import PartFile
from schemas.errors import DigestMismatch, ObjectMissing, StoreDenied, StoreUnavailable

Grant = Callable[[tuple[str, ...]], Awaitable[Sequence[str]]]
"""Object keys to presigned URLs in the same order; may raise what a broker request raises."""

_RETRY_FOR_S: Final = 5.0
"""While attempts bring nothing; one that brings something starts the time again."""
_MIN_PROGRESS_BYTES: Final = 1 << 16
"""What counts as something, unless it is the rest."""
_TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
"""Of one silence, not of a whole transfer."""
_GRACE_S: Final = 60.0
_MIN_BYTES_PER_S: Final = 1 << 14
"""An object that comes in more slowly than this after the grace is given up. A caller that tries
again goes on from what is there."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-")

_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
"""What we send back to a server that is not trusted."""


def open_http(*, trust_env: bool = True) -> httpx.AsyncClient:
    """A client that keeps no cookies: a server could fill its requests until nobody takes them.

    `trust_env` lets environment variables name proxies.
    """
    keep_none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(cookies=keep_none, trust_env=trust_env)


class Downloader:
    """Fetches objects by their keys, with a client as `open_http` makes it.

    Its methods raise ObjectMissing when the storage has no such object, StoreDenied when it gives
    an answer that a retry cannot mend, StoreUnavailable when retries have not helped, and whatever
    the grant raises.
    """

    def __init__(self, http: httpx.AsyncClient, grant: Grant) -> None:
        self._http = http
        self._grant = grant

    async def read(self, key: str, *, max_bytes: int) -> bytes:
        """A small object, whole.

        Raises:
            DigestMismatch: it is larger than `max_bytes`.
        """
        source = _Source(self._http, self._grant, key)
        async with _in_time(key, max_bytes):
            async for attempt in retry.for_seconds(_RETRY_FOR_S):
                with attempt:
                    return await _read(source, max_bytes)
        raise AssertionError("the retry returns or raises")

    async def fetch(self, key: str, path: Path, *, size: int, sha256: str) -> None:
        """Fetch an object of known size and digest to `path`, through a `.part` file beside it.

        The `.part` file outlives failures and restarts. If what it held before does not lead to the
        digest, the object is fetched once more from its first byte.

        Raises:
            DigestMismatch: the object has other bytes, or more of them.
        """
        source = _Source(self._http, self._grant, key)
        part_path = path.with_name(f"{path.name}.part")
        with PartFile(part_path) as part:
            await run_in_thread(part.resume)
            resumed = part.size > 0
            async with _in_time(key, size):
                await self._fill(part, source, size)
                if resumed and part.sha256() != sha256:
                    part.clear()
                    await self._fill(part, source, size)
            if part.sha256() != sha256:
                part.discard()
                raise DigestMismatch(f"{key} has other bytes than the manifest says")
            await run_in_thread(part.finish, path)

    async def _fill(self, part: PartFile, source: "_Source", size: int) -> None:
        if part.size > size:
            part.clear()
        while part.size < size:
            async for attempt in retry.for_seconds(_RETRY_FOR_S):
                with attempt:
                    before = part.size
                    try:
                        await _go_on(part, source, size)
                    except StoreUnavailable:
                        if part.size - before < _MIN_PROGRESS_BYTES:
                            raise


class _Source:
    """Where one object comes from: its URL as granted last, and its ETag as seen first."""

    def __init__(self, http: httpx.AsyncClient, grant: Grant, key: str) -> None:
        self.key = key
        self.etag = ""
        """Empty unless the server named a strong one."""
        self._http = http
        self._grant = grant
        self._url: httpx.URL | None = None

    @asynccontextmanager
    async def get(self, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        """One GET, its body still to come; what can go wrong in the block becomes our errors."""
        if self._url is None:
            self._url = await self._granted()
        try:
            async with self._http.stream(
                "GET",
                self._url,
                headers={"Accept-Encoding": "identity", **headers},
                follow_redirects=False,
                timeout=_TIMEOUT,
            ) as answer:
                self._check(answer.status_code)
                yield answer
        except httpx.TransportError as error:
            raise StoreUnavailable(f"{self.key}: {type(error).__name__} {error}") from None
        except (ValueError, ExceptionGroup) as error:
            # A host or port that cannot be, found out by the resolver or a codec under httpx.
            raise StoreDenied(f"the URL for {self.key} is unusable: {error}"[:300]) from None

    async def _granted(self) -> httpx.URL:
        urls = await self._grant((self.key,))
        try:
            url = httpx.URL(urls[0])
        except (IndexError, httpx.InvalidURL):
            raise StoreDenied(f"no usable URL was granted for {self.key}") from None
        if url.scheme not in ("http", "https"):
            raise StoreDenied(f"a URL for {self.key} is {url.scheme}, not http or https")
        return url

    def _check(self, status: int) -> None:
        if status in (200, 206):
            return
        if status in (404, 410):
            raise ObjectMissing(f"there is no object {self.key}")
        if status in (400, 401, 403):
            # Services differ in how they say that a URL has expired.
            self._url = None
        elif status in (412, 416):
            # It was replaced meanwhile, or is shorter than what is here: begin again.
            self.etag = ""
            raise _Changed(f"{self.key} changed while it was read")
        elif status < 500 and status not in (408, 429):
            raise StoreDenied(f"{self.key}: the storage answers {status}; we follow no redirects")
        raise StoreUnavailable(f"{self.key}: the storage answers {status}")


class _Changed(StoreUnavailable):
    """Raised inside this file when what is in the `.part` file is no beginning of the object."""


@asynccontextmanager
async def _in_time(key: str, size: int) -> AsyncIterator[None]:
    """The time that an object of this size may take. Raises StoreUnavailable when it is over."""
    try:
        async with asyncio.timeout(_GRACE_S + size / _MIN_BYTES_PER_S):
            yield
    except TimeoutError:
        raise StoreUnavailable(f"{key}: comes in too slowly") from None


async def _read(source: _Source, max_bytes: int) -> bytes:
    """One request for the whole. Raises StoreUnavailable, and DigestMismatch above the bound."""
    data = bytearray()
    async with source.get({}) as answer:
        async for chunk in answer.aiter_raw():
            data += chunk
            if len(data) > max_bytes:
                raise DigestMismatch(f"{source.key} is larger than {max_bytes} bytes")
    return bytes(data)


async def _go_on(part: PartFile, source: _Source, size: int) -> None:
    """One request that appends to the part. Raises StoreUnavailable unless it brings the rest."""
    headers = {}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if source.etag:
            headers["If-Match"] = source.etag
    try:
        async with source.get(headers) as answer:
            first_byte = _first_byte(answer)
            if first_byte == 0:
                part.clear()
            elif first_byte != part.size:
                raise StoreDenied(f"{source.key}: the storage sends another range than was asked")
            etag = answer.headers.get("ETag", "")
            source.etag = etag if _ETAG.fullmatch(etag) else ""
            async for chunk in answer.aiter_raw():
                if part.size + len(chunk) > size:
                    part.discard()
                    raise DigestMismatch(f"{source.key} is larger than the {size} bytes it has")
                part.write(chunk)
    except _Changed:
        part.clear()
        raise
    if part.size < size:
        raise StoreUnavailable(f"{source.key}: broken off after {part.size} of {size} bytes")


def _first_byte(answer: httpx.Response) -> int:
    """Position in the object of the first byte of an answer; -1 when it does not say."""
    if answer.status_code == 200:
        return 0
    matched = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    return int(matched[1]) if matched else -1
