"""What every object storage must do: the twin in memory and a real S3 server alike."""

import asyncio
import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from broker.memory import MemoryStore
from broker.objects.credentials import Credentials, write_credentials
from broker.objects.s3 import S3Store
from broker.objects.write_once import check_write_once
from schemas.errors import (
    DigestMismatch,
    ObjectExists,
    ObjectMissing,
    StoreDenied,
    StoreUnavailable,
    UserError,
)
from schemas.settings import Connection
from schemas.wire import sha256_hex


@pytest.fixture
async def s3(s3_connection):
    store = S3Store.open(s3_connection)
    yield store
    for each in await store.list(""):
        await store.delete(each.key)
    await store.close()


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.integration)])
def store(request):
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("s3")


async def test_what_was_put_is_got(store):
    for data in (b"", b"words", bytes(range(256)) * 4096):
        await store.put("a/b.c", data)
        assert await store.get("a/b.c") == data


async def test_ranges(store):
    await store.put("key", b"0123456789")
    assert await store.get("key", offset=3, length=4) == b"3456"
    assert await store.get("key", offset=7) == b"789"
    assert await store.get("key", length=2) == b"01"
    assert await store.get("key", offset=8, length=100) == b"89"
    assert await store.get("key", offset=10, length=1) == b""


async def test_what_is_not_there(store):
    with pytest.raises(ObjectMissing, match="nothing/here"):
        await store.get("nothing/here")
    with pytest.raises(ObjectMissing):
        await store.get("nothing/here", offset=5, length=5)
    assert await store.head("nothing/here") is None
    assert await store.list("nothing/") == []
    await store.delete("nothing/here")


async def test_head_tells_size_and_time(store):
    before = time.time()
    await store.put("key", b"12345")
    info = await store.head("key")
    assert (info.key, info.size) == ("key", 5)
    # S3 tells whole seconds.
    assert before - 2 < info.modified < time.time() + 2


async def test_written_once_means_once(store):
    await store.put_once("key", b"first")
    for data in (b"second", b"first"):
        with pytest.raises(ObjectExists, match="key"):
            await store.put_once("key", data)
    assert await store.get("key") == b"first"


async def test_a_file_is_written_once_too_and_only_as_it_should_be(store, tmp_path):
    path, data = tmp_path / "file", b"from a file" * 1000
    path.write_bytes(data)
    with pytest.raises(DigestMismatch, match="other bytes"):
        await store.put_file_once("key", path, sha256="0" * 64)
    assert await store.head("key") is None
    await store.put_file_once("key", path, sha256=sha256_hex(data))
    assert await store.get("key") == data
    with pytest.raises(ObjectExists, match="key"):
        await store.put_file_once("key", path, sha256=sha256_hex(data))
    path.write_bytes(b"")
    await store.put_file_once("empty", path, sha256=sha256_hex(b""))
    assert await store.get("empty") == b""


async def test_a_deleted_key_can_be_written_again(store):
    await store.put_once("key", b"first")
    await store.delete("key")
    await store.put_once("key", b"second")
    assert await store.get("key") == b"second"


async def test_of_sixteen_racing_writers_exactly_one_wins(store):
    async def write(writer: int) -> bool:
        try:
            await store.put_once("race", b"writer %d" % writer)
        except ObjectExists:
            return False
        return True

    won = await asyncio.gather(*(write(writer) for writer in range(16)))
    assert sum(won) == 1
    assert await store.get("race") == b"writer %d" % won.index(True)


async def test_a_listing_is_in_the_order_of_keys_and_keeps_to_its_prefix(store):
    keys = ["a/1", "a/10", "a/2", "b/1", "a-b"]
    for key in keys:
        await store.put(key, key.encode())
    listed = await store.list("a/")
    assert [each.key for each in listed] == ["a/1", "a/10", "a/2"]
    assert [each.size for each in listed] == [3, 4, 3]
    assert [each.key for each in await store.list("")] == sorted(keys)


async def test_conditional_writes_are_found_and_no_trace_is_left(store):
    await check_write_once(store)
    assert await store.list("scratch/") == []


async def test_a_storage_that_ignores_conditions_is_refused():
    class Careless(MemoryStore):
        async def put_once(self, key, data):
            await self.put(key, data)

    store = Careless()
    with pytest.raises(StoreDenied, match="ignores If-None-Match"):
        await check_write_once(store)
    assert await store.list("") == []


async def test_the_twin_can_be_away():
    store = MemoryStore()
    store.away = True
    with pytest.raises(StoreUnavailable):
        await store.get("key")


@pytest.mark.integration
async def test_a_listing_longer_than_a_page(s3):
    keys = [f"many/{number:04}" for number in range(1001)]
    slots = asyncio.Semaphore(16)

    async def write(key: str) -> None:
        async with slots:
            await s3.put(key, b"")

    await asyncio.gather(*(write(key) for key in keys))
    assert [each.key for each in await s3.list("many/")] == keys


@pytest.mark.integration
async def test_a_presigned_url_serves_ranges_to_anyone_until_it_expires(s3):
    await s3.put("key", b"0123456789")
    url = s3.presign_get("key", lifetime_s=60)
    short = s3.presign_get("key", lifetime_s=1)
    async with httpx.AsyncClient() as http:
        whole = await http.get(url)
        assert (whole.status_code, whole.content) == (200, b"0123456789")
        part = await http.get(url, headers={"Range": "bytes=4-"})
        assert (part.status_code, part.content) == (206, b"456789")
        same = {"Range": "bytes=4-", "If-Match": whole.headers["etag"]}
        assert (await http.get(url, headers=same)).status_code == 206
        other = {"Range": "bytes=4-", "If-Match": '"0"'}
        assert (await http.get(url, headers=other)).status_code == 412
        assert (await http.get(url.replace("/key", "/keys"))).status_code == 403
        assert (await http.get(httpx.URL(url).copy_with(query=None))).status_code == 403
        await asyncio.sleep(2.1)
        assert (await http.get(short)).status_code == 403


@pytest.mark.integration
async def test_wrong_credentials_are_refused_at_once(s3_connection, tmp_path):
    write_credentials(tmp_path / "key", Credentials(access_key="nobody", secret_key="knows"))
    store = S3Store.open(connection(s3_connection.s3, tmp_path / "key"))
    with pytest.raises(StoreDenied, match="403"):
        await store.ensure_bucket()
    await store.close()


@pytest.mark.integration
async def test_the_bucket_may_be_there_already(s3):
    await s3.put("kept", b"in it")
    await s3.ensure_bucket()
    assert await s3.get("kept") == b"in it"


def connection(endpoint: str, credentials: Path) -> Connection:
    return Connection(s3=endpoint, bucket="test", s3_credentials=str(credentials))


@pytest.fixture
def credentials(tmp_path):
    path = tmp_path / "credentials.json"
    write_credentials(path, Credentials(access_key="us", secret_key="hush"))
    return path


async def test_a_refused_connection_is_told_within_seconds(credentials):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        # Bound, but not listening: connections are refused.
        store = S3Store.open(connection(f"http://127.0.0.1:{bound.getsockname()[1]}", credentials))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.get("key")
        assert time.monotonic() - began < 15
    await store.close()


@pytest.mark.integration
async def test_a_frozen_storage_is_told_in_bounded_time(credentials):
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        # The kernel completes the connections; nobody ever reads from them.
        store = S3Store.open(connection(f"http://127.0.0.1:{frozen.getsockname()[1]}", credentials))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.put("key", b"data")
        assert time.monotonic() - began < 15
    await store.close()


async def answer_with(status: str, body: bytes = b""):
    """A server that counts its requests and gives all of them one answer."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        server.requests += 1
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n".encode())
        writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    server.requests = 0
    return server


@pytest.mark.parametrize("status", ["409 Conflict", "503 Slow Down"])
async def test_a_storage_that_asks_for_patience_is_asked_again(credentials, status):
    async with await answer_with(status) as server:
        port = server.sockets[0].getsockname()[1]
        store = S3Store.open(connection(f"http://127.0.0.1:{port}", credentials))
        with pytest.raises(StoreUnavailable, match=status[:3]):
            await store.head("key")
        await store.close()
        assert server.requests > 2


async def test_a_missing_bucket_is_not_a_missing_object(credentials):
    body = b"<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>"
    async with await answer_with("404 Not Found", body) as server:
        port = server.sockets[0].getsockname()[1]
        store = S3Store.open(connection(f"http://127.0.0.1:{port}", credentials))
        with pytest.raises(StoreDenied, match="NoSuchBucket"):
            await store.get("key")
        await store.close()
        assert server.requests == 1


def test_settings_that_cannot_work_are_refused_before_any_request(credentials):
    with pytest.raises(StoreDenied, match="cannot use the object storage"):
        S3Store.open(connection("not a url", credentials))
    credentials.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        S3Store.open(connection("http://127.0.0.1:1", credentials))
    credentials.write_text(json.dumps({"access_key": "us"}))
    credentials.chmod(0o600)
    with pytest.raises(UserError, match="not a credentials file"):
        S3Store.open(connection("http://127.0.0.1:1", credentials))
