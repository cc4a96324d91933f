"""Tries out whether an object storage refuses a second conditional write."""

import secrets

from broker.store import Store
from schemas import names
from schemas.errors import ObjectExists, StoreDenied


async def check_write_once(store: Store) -> None:
    """Write one scratch object twice; the second write must be refused.

    Several S3 servers ignore If-None-Match. On those, two trainers could overwrite each other's
    policies, so we do not publish there.

    Raises:
        StoreDenied: it was not refused.
        StoreUnavailable
    """
    key = names.scratch_key(secrets.token_hex(16))
    try:
        await store.put_once(key, b"first")
        await store.put_once(key, b"second")
    except ObjectExists:
        return
    finally:
        await store.delete(key)
    raise StoreDenied(
        "this object storage ignores If-None-Match: nothing written there is safe from a second "
        "writer; use one that has conditional writes (AWS S3, Cloudflare R2, SeaweedFS)"
    )
