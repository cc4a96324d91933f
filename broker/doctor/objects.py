"""Does the object storage do what policies, and URLs for strangers, rest on?"""

from typing import Final

from broker.doctor.clocks import check_clock
from broker.doctor.facts import StoreFacts
from broker.doctor.finding import Finding, critical, fine

_ONCE: Final = "conditional writes"
_URLS: Final = "presigned URLs"
_V4: Final = "AWS4-HMAC-SHA256"
_ANOTHER: Final = "connection.s3: ENDPOINT   # of AWS S3, Cloudflare R2 or SeaweedFS"


def check_store(url: str, store: StoreFacts) -> list[Finding]:
    """Judge what it did with the scratch objects."""
    return [_once(url, store), _urls(url, store), check_clock(url, store.clock)]


def _once(url: str, store: StoreFacts) -> Finding:
    if store.refuses_second_write:
        return fine(_ONCE, url, "a second write under If-None-Match is refused")
    found = "If-None-Match is ignored: a second trainer could overwrite a policy"
    return critical(_ONCE, url, found, _ANOTHER)


def _urls(url: str, store: StoreFacts) -> Finding:
    if store.signature != _V4:
        found = f"signed with {store.signature or 'no version 4'}, which newer services refuse"
        return critical(_URLS, url, found, "pip install --upgrade boto3")
    if not 200 <= store.status < 300:
        fix = "allow s3:GetObject on the bucket to connection.s3_credentials"
        return critical(_URLS, url, f"a GET is answered {store.status}: nobody gets weights", fix)
    if not store.same_bytes:
        return critical(_URLS, url, "a GET brings other bytes than were written", _ANOTHER)
    if store.forged_status < 400:
        found = f"a forged signature is answered {store.forged_status}: anybody reads everything"
        return critical(_URLS, url, found, "turn anonymous reading of the bucket off")
    if store.range_status != 206:
        found = f"a range is answered {store.range_status}: a download that breaks begins again"
        return critical(_URLS, url, found, _ANOTHER)
    return fine(_URLS, url, "read by whoever holds one, ranges too; a forged one is refused")
