"""Grants presigned URLs of policy objects: actors hold no credentials of the object storage."""

from broker.store import Store
from schemas.errors import Rejected
from schemas.lease import GrantReply, GrantRequest
from schemas.names import last_token, policies_prefix
from schemas.wire import decode, encode

_LIFETIME_S = 900.0
_MAX_REQUEST_BYTES = 32 << 10


class Grants:
    """Answers grant.<run>.<actor>."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run

    async def answer(self, subject: str, data: bytes) -> bytes:
        """Grant all keys or none."""
        try:
            request = decode(
                data,
                GrantRequest,
                max_wire_bytes=_MAX_REQUEST_BYTES,
                max_decoded_bytes=_MAX_REQUEST_BYTES,
            )
        except Rejected as refusal:
            return encode(GrantReply(detail=f"{refusal}"[:500]))
        if (request.run, request.actor) != (self._run, last_token(subject)):
            return encode(GrantReply(detail="the request names another run or actor"))
        for key in request.keys:
            # A client or proxy might resolve dots; the store would not.
            if not key.startswith(policies_prefix(self._run)) or ".." in key:
                return encode(GrantReply(detail=f"{key} is not an object of a policy"))
        urls = (self._store.presign_get(key, lifetime_s=_LIFETIME_S) for key in request.keys)
        return encode(GrantReply(urls=tuple(urls)))
