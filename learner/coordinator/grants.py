"""Grants presigned URLs of policy objects: actors hold no credentials of the object storage.

A signature is a third of a millisecond of CPU, and many actors ask for the same few keys of a
version: so URLs are made in a thread beside the event loop, and given to everybody for a while.
"""

import asyncio
import threading
import time

from broker.store import Store
from schemas.errors import Rejected
from schemas.lease import GrantReply, GrantRequest
from schemas.names import last_token, policies_prefix
from schemas.verdict import Reason
from schemas.wire import decode, encode

_LIFETIME_S = 900.0
_GIVEN_FOR_S = 300.0
"""So every URL is good for ten minutes or more when it is given."""
_MAX_KEPT = 4096
_MAX_REQUEST_BYTES = 32 << 10


class Grants:
    """Answers grant.<run>.<actor>."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._signing = threading.Lock()
        self._kept: dict[str, tuple[str, float]] = {}
        """Key -> URL, and the monotonic second when it was made; longest unused first."""

    async def answer(self, subject: str, data: bytes) -> bytes:
        """Grant all keys or none."""
        try:
            keys = self._read(data, last_token(subject))
            urls = await asyncio.to_thread(self._urls, keys)
        except Rejected as refusal:
            return encode(GrantReply(detail=refusal.detail[:500]))
        return encode(GrantReply(urls=urls))

    def _read(self, data: bytes, actor: str) -> tuple[str, ...]:
        request = decode(
            data,
            GrantRequest,
            max_wire_bytes=_MAX_REQUEST_BYTES,
            max_decoded_bytes=_MAX_REQUEST_BYTES,
        )
        if (request.run, request.actor) != (self._run, actor):
            raise Rejected(Reason.MISMATCH, "the request names another run or actor")
        if len(set(request.keys)) < len(request.keys):
            raise Rejected(Reason.SCHEMA, "the request names a key twice")
        for key in request.keys:
            # A client or proxy might resolve dots; the store would not.
            if not key.startswith(policies_prefix(self._run)) or ".." in key:
                raise Rejected(Reason.SCHEMA, f"{key} is not an object of a policy")
        return request.keys

    def _urls(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        with self._signing:
            return tuple(self._url(key) for key in keys)

    def _url(self, key: str) -> str:
        now = time.monotonic()
        kept = self._kept.pop(key, None)
        if kept is None or now - kept[1] > _GIVEN_FOR_S:
            kept = self._store.presign_get(key, lifetime_s=_LIFETIME_S), now
        self._kept[key] = kept
        while len(self._kept) > _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return kept[0]
