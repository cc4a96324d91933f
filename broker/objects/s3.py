"""Object storage over S3, through boto3 in threads of its own.

boto3 retries nothing here: each attempt is one request, and `broker.retry` says when the next one
begins. A storage that does not answer is StoreUnavailable after about ten seconds; the caller, who
knows what waiting costs, decides what comes then.
"""

import asyncio
import base64
import contextlib
import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import boto3
from botocore import exceptions as s3_errors
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from broker import retry
from broker.objects.credentials import Credentials, read_credentials
from broker.store import ObjectInfo
from schemas.errors import (
    DigestMismatch,
    ObjectExists,
    ObjectMissing,
    StoreDenied,
    StoreUnavailable,
)
from schemas.settings import Connection

_NUM_THREADS: Final = 16
_CONNECT_TIMEOUT_S: Final = 2.0
_READ_TIMEOUT_S: Final = 8.0
"""Of one silence on the socket, not of a whole transfer."""
_RETRY_FOR_S: Final = 2.5
_AGAIN: Final = frozenset({408, 409, 429})
"""Statuses below 500 that ask for another try; 409 is AWS's answer to writes that race."""
_DAMAGED: Final = frozenset({"BadDigest", "XAmzContentSHA256Mismatch", "RequestTimeout"})
"""Codes of a request that arrived broken."""
_NO_ANSWER: Final = (
    s3_errors.ConnectionError,
    s3_errors.HTTPClientError,
    s3_errors.IncompleteReadError,
)

T = TypeVar("T")


class S3Store:
    """A `broker.store.Store` over one bucket of any S3 service with conditional writes."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="s3")

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Make a client; no request is sent.

        Raises:
            UserError: the credentials file is missing, readable by others, or of another form.
            StoreDenied: the endpoint is not a URL, or boto3's own configuration is broken.
        """
        path = connection.s3_credentials
        credentials = read_credentials(Path(path).expanduser()) if path else None
        try:
            return cls(_client(connection.s3, credentials), connection.bucket)
        except (BotoCoreError, ValueError) as error:
            raise StoreDenied(f"cannot use the object storage {connection.s3!r}: {error}") from None

    async def ensure_bucket(self) -> None:
        """Create the bucket unless it is there.

        Raises:
            StoreDenied: the storage refuses the credentials, or the bucket belongs to others.
            StoreUnavailable
        """
        await self._run(self._create_bucket)

    async def put(self, key: str, data: bytes) -> None:
        await self._put(key, data)

    async def put_once(self, key: str, data: bytes) -> None:
        await self._put(key, data, IfNoneMatch="*")

    async def put_file_once(self, key: str, path: Path, *, sha256: str) -> None:
        def send() -> None:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise DigestMismatch(f"{path} has other bytes than it should have")
                file.seek(0)
                digest = base64.b64encode(bytes.fromhex(sha256)).decode()
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=file,
                    ChecksumSHA256=digest,
                    IfNoneMatch="*",
                )

        await self._run(send, key)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        assert offset >= 0
        assert length is None or length > 0
        asked = {}
        if offset or length is not None:
            last = "" if length is None else offset + length - 1
            asked["Range"] = f"bytes={offset}-{last}"

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **asked)
            with contextlib.closing(answer["Body"]) as body:
                return body.read()

        try:
            return await self._run(read, key)
        except _BeyondEnd:
            return b""

    async def head(self, key: str) -> ObjectInfo | None:
        try:
            answer = await self._run(
                lambda: self._client.head_object(Bucket=self._bucket, Key=key), key
            )
        except ObjectMissing:
            return None
        return ObjectInfo(
            key=key, size=answer["ContentLength"], modified=answer["LastModified"].timestamp()
        )

    async def list(self, prefix: str) -> list[ObjectInfo]:
        found: list[ObjectInfo] = []
        page: dict[str, str] = {}
        while True:
            asked = {"Bucket": self._bucket, "Prefix": prefix, **page}
            answer = await self._run(lambda asked=asked: self._client.list_objects_v2(**asked))
            found.extend(
                ObjectInfo(
                    key=each["Key"], size=each["Size"], modified=each["LastModified"].timestamp()
                )
                for each in answer.get("Contents", ())
            )
            if not answer["IsTruncated"]:
                # Not every server orders keys by their bytes.
                return sorted(found, key=lambda info: info.key)
            page = {"ContinuationToken": answer["NextContinuationToken"]}

    async def delete(self, key: str) -> None:
        await self._run(lambda: self._client.delete_object(Bucket=self._bucket, Key=key))

    def presign_get(self, key: str, *, lifetime_s: float) -> str:
        return self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": key},
            ExpiresIn=math.ceil(lifetime_s),
            HttpMethod="GET",
        )

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._client.close()

    async def _put(self, key: str, data: bytes, **conditions: str) -> None:
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        await self._run(
            lambda: self._client.put_object(
                Bucket=self._bucket, Key=key, Body=data, ChecksumSHA256=digest, **conditions
            ),
            key,
        )

    def _create_bucket(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._bucket)
            return
        except ClientError as error:
            if _status(error) != 404:
                raise
        region = self._client.meta.region_name
        placed = (
            {}
            if region in (None, "us-east-1", "aws-global")
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        self._client.create_bucket(Bucket=self._bucket, **placed)

    async def _run(self, request: Callable[[], T], key: str = "") -> T:
        """Send a request, again as long as that may help; its errors become ours."""

        async def send() -> T:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _translated, request, key)

        return await retry.for_seconds(_RETRY_FOR_S)(send)


class _BeyondEnd(Exception):
    """Raised inside this file when a range begins at or behind the end of its object."""


def _client(endpoint: str, credentials: Credentials | None) -> Any:
    # Several services other than AWS reject boto3's trailing checksums; puts carry their own.
    custom: dict[str, Any] = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": "path"},
    }
    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name="us-east-1" if endpoint else None,
        aws_access_key_id=credentials.access_key if credentials else None,
        aws_secret_access_key=credentials.secret_key if credentials else None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"total_max_attempts": 1},
            max_pool_connections=_NUM_THREADS,
            **(custom if endpoint else {}),
        ),
    )


def _translated(request: Callable[[], T], key: str) -> T:
    try:
        return request()
    except ClientError as error:
        raise _from_status(error, key) from None
    except _NO_ANSWER as error:
        raise StoreUnavailable(f"the object storage does not answer: {error}") from None
    except BotoCoreError as error:
        raise StoreDenied(f"cannot use the object storage: {error}") from None


def _from_status(error: ClientError, key: str) -> Exception:
    status = _status(error)
    code = error.response.get("Error", {}).get("Code", "")
    if status == 404 and code != "NoSuchBucket":
        return ObjectMissing(f"there is no object {key}")
    if status == 412:
        return ObjectExists(f"{key} is already written")
    if status == 416:
        return _BeyondEnd()
    if status >= 500 or status in _AGAIN or code in _DAMAGED:
        return StoreUnavailable(f"the object storage answers {status} {code}")
    return StoreDenied(f"the object storage answers {status} {code} ({error.operation_name})")


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
