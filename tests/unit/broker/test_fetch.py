"""An actor fetches policies from servers that cut, lie, stall, redirect and never stop."""

import asyncio
import random

import httpx
import msgspec
import pytest

from broker.policies import signing
from broker.policies.download import open_http
from broker.policies.fetch import PolicyFetcher
from schemas import names, wire
from schemas.errors import (
    DigestMismatch,
    ObjectMissing,
    PolicyError,
    RollbackRefused,
    SignatureInvalid,
    StoreDenied,
    StoreUnavailable,
    UserError,
)
from schemas.policy import PolicyId
from tests.support.mirror import Mirror

WEIGHTS = random.Random(1).randbytes(1 << 20)
FILES = {"model.safetensors": WEIGHTS, "config.json": b"{}", "empty.txt": b""}
FIRST, SECOND, THIRD = (PolicyId(1, version) for version in (0, 1, 2))


@pytest.fixture
async def mirror(store):
    mirror = Mirror(store)
    server = await asyncio.start_server(mirror.answer, "127.0.0.1", 0)
    mirror.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mirror


@pytest.fixture
async def http():
    async with open_http(trust_env=False) as http:
        yield http


@pytest.fixture
def new_fetcher(mirror, http, publisher, tmp_path):
    """A fetcher, as a process that starts would make it."""

    def make(*, run="demo", grant=mirror.grant):
        return PolicyFetcher(
            run=run,
            run_key=publisher.key.public,
            grant=grant,
            cache=tmp_path / "cache",
            http=http,
        )

    return make


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("broker.policies.download._RETRY_FOR_S", 0.2)


@pytest.fixture
def home(tmp_path, publisher):
    """The fetcher's part of the cache."""
    return tmp_path / "cache" / f"demo-{publisher.key.public[:16]}"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def blob(data):
    return names.blob_key("demo", wire.sha256_hex(data))


def tampered(data):
    return data[:-1] + bytes([data[-1] ^ 1])


async def test_a_policy_arrives_whole(new_fetcher, publisher):
    fetched = await new_fetcher().fetch(await publisher.publish(FIRST, FILES))
    assert contents(fetched.folder) == FILES
    assert fetched.folder.name == "1-0"
    assert fetched.manifest.policy == FIRST


async def test_what_is_on_disk_is_not_fetched_again(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    await new_fetcher().fetch(announcement)
    assert (blob(WEIGHTS), "") in mirror.asked
    mirror.asked.clear()
    fetched = await new_fetcher().fetch(announcement)
    assert contents(fetched.folder) == FILES
    assert not [key for key, _ in mirror.asked if "blobs" in key]
    second = await publisher.publish(SECOND, {**FILES, "config.json": b"[]"})
    await new_fetcher().fetch(second)
    assert [key for key, _ in mirror.asked if "blobs" in key] == [blob(b"[]")]


async def test_the_newest_two_policies_stay_on_disk(new_fetcher, publisher):
    fetcher = new_fetcher()
    for policy in (FIRST, SECOND, THIRD):
        files = {**FILES, "model.safetensors": b"weights of %d" % policy.version}
        fetched = await fetcher.fetch(await publisher.publish(policy, files))
    policies = fetched.folder.parent
    assert sorted(folder.name for folder in policies.iterdir()) == ["1-1", "1-2"]
    blobs = {file.read_bytes() for file in (policies.parent / "blobs").iterdir()}
    assert blobs == {b"weights of 1", b"weights of 2", b"{}", b""}


async def test_a_download_that_is_cut_at_every_tenth_goes_on_from_there(
    new_fetcher, publisher, mirror
):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.cut_after_bytes = len(WEIGHTS) // 10
    fetched = await new_fetcher().fetch(announcement)
    assert contents(fetched.folder) == FILES
    offsets = [
        int(asked.removeprefix("bytes=").rstrip("-") or 0)
        for key, asked in mirror.asked
        if key == blob(WEIGHTS)
    ]
    assert len(offsets) >= 10
    assert offsets == sorted(set(offsets))


async def test_a_process_that_starts_goes_on_where_the_last_one_stopped(
    new_fetcher, publisher, mirror
):
    announcement = await publisher.publish(FIRST, FILES)
    fetcher = new_fetcher()
    mirror.cut_after_bytes = 1 << 18
    task = asyncio.create_task(fetcher.fetch(announcement))
    await mirror.until_asked(blob(WEIGHTS), f"bytes={1 << 18}-")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    mirror.asked.clear()
    mirror.cut_after_bytes = None
    fetched = await new_fetcher().fetch(announcement)
    assert contents(fetched.folder) == FILES
    (asked,) = [asked for key, asked in mirror.asked if key == blob(WEIGHTS)]
    assert int(asked.removeprefix("bytes=").rstrip("-")) >= 1 << 18


async def test_a_damaged_beginning_on_disk_is_fetched_again(new_fetcher, publisher, mirror, home):
    announcement = await publisher.publish(FIRST, FILES)
    fetcher = new_fetcher()
    (home / "blobs" / f"{wire.sha256_hex(WEIGHTS)}.part").write_bytes(b"junk")
    fetched = await fetcher.fetch(announcement)
    assert contents(fetched.folder) == FILES
    assert [asked for key, asked in mirror.asked if key == blob(WEIGHTS)] == ["bytes=4-", ""]


async def test_an_object_replaced_in_the_middle_is_never_spliced(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.cut_after_bytes = 1 << 19
    send = mirror._send

    async def send_then_replace(writer, data, asked):
        await send(writer, data, asked)
        if len(data) == len(WEIGHTS):
            mirror.etag, mirror.cut_after_bytes = '"2"', None

    mirror._send = send_then_replace
    fetched = await new_fetcher().fetch(announcement)
    assert contents(fetched.folder) == FILES
    asked = [asked for key, asked in mirror.asked if key == blob(WEIGHTS)]
    assert asked == ["", f"bytes={1 << 19}-", ""]


async def test_a_server_without_ranges_will_do(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.knows_ranges = False
    mirror.cut_after_bytes = 1 << 18
    task = asyncio.create_task(new_fetcher().fetch(announcement))
    await mirror.until_asked(blob(WEIGHTS), f"bytes={1 << 18}-")
    mirror.cut_after_bytes = None
    assert contents((await task).folder) == FILES


async def test_cookies_are_not_kept(new_fetcher, publisher, mirror):
    """Enough of them, and no server would take the requests any more."""
    announcement = await publisher.publish(FIRST, FILES)
    mirror.first_answers = ["503 Busy\r\nSet-Cookie: a=b; Max-Age=99999999; Path=/"]
    fetched = await new_fetcher().fetch(announcement)
    assert contents(fetched.folder) == FILES
    assert mirror.num_cookies == 0


async def test_tampered_bytes_are_refused(new_fetcher, publisher, mirror, home):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.replaced[blob(WEIGHTS)] = tampered(WEIGHTS)
    fetcher = new_fetcher()
    with pytest.raises(DigestMismatch, match="other bytes"):
        await fetcher.fetch(announcement)
    assert not list((home / "policies").iterdir())
    mirror.replaced.clear()
    assert contents((await fetcher.fetch(announcement)).folder) == FILES


async def test_tampered_bytes_are_refused_after_a_resume(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.replaced[blob(WEIGHTS)] = tampered(WEIGHTS)
    mirror.cut_after_bytes = 1 << 18
    with pytest.raises(DigestMismatch, match="other bytes"):
        await new_fetcher().fetch(announcement)


@pytest.mark.parametrize("key", [blob(WEIGHTS), names.policy_manifest_key("demo", FIRST)])
async def test_a_body_that_never_ends_is_cut(
    new_fetcher, publisher, mirror, home, key, monkeypatch
):
    monkeypatch.setattr(signing, "MAX_MANIFEST_BYTES", 1 << 20)
    announcement = await publisher.publish(FIRST, FILES)
    mirror.endless.add(key)
    fetcher = new_fetcher()
    with pytest.raises(DigestMismatch, match="larger than"):
        await fetcher.fetch(announcement)
    on_disk = sum(file.stat().st_size for file in home.rglob("*"))
    assert on_disk < 2 * len(WEIGHTS)


async def test_a_server_that_falls_silent_is_left_and_resumed(
    new_fetcher, publisher, mirror, monkeypatch
):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.cut_after_bytes = len(WEIGHTS) // 2
    mirror.stalls.add(blob(WEIGHTS))
    monkeypatch.setattr("broker.policies.download._TIMEOUT", httpx.Timeout(0.1))
    assert contents((await new_fetcher().fetch(announcement)).folder) == FILES


@pytest.fixture
def hurried(monkeypatch):
    """An object may take half a second, whatever its size."""
    monkeypatch.setattr("broker.policies.download._GRACE_S", 0.5)
    monkeypatch.setattr("broker.policies.download._MIN_BYTES_PER_S", 1 << 40)


async def test_bytes_that_come_again_and_again_hold_a_download_for_its_time_only(
    new_fetcher, publisher, mirror, hurried
):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.knows_ranges = False
    mirror.cut_after_bytes = len(WEIGHTS) // 2
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable, match="too slowly"):
            await new_fetcher().fetch(announcement)


async def test_what_came_in_too_slowly_is_gone_on_with_by_the_next_call(
    new_fetcher, publisher, mirror, hurried, monkeypatch
):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.cut_after_bytes = len(WEIGHTS) // 2
    mirror.stalls.add(blob(WEIGHTS))
    fetcher = new_fetcher()
    with pytest.raises(StoreUnavailable, match="too slowly"):
        await fetcher.fetch(announcement)
    monkeypatch.setattr("broker.policies.download._GRACE_S", 60.0)
    assert contents((await fetcher.fetch(announcement)).folder) == FILES
    assert (blob(WEIGHTS), f"bytes={len(WEIGHTS) // 2}-") in mirror.asked


async def test_a_longer_object_is_refused_and_a_shorter_one_is_not_there_yet(
    new_fetcher, publisher, mirror, impatient
):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.replaced[blob(WEIGHTS)] = WEIGHTS + b"!"
    with pytest.raises(DigestMismatch, match="larger than"):
        await new_fetcher().fetch(announcement)
    mirror.replaced[blob(WEIGHTS)] = WEIGHTS[:-1]
    with pytest.raises(StoreUnavailable):
        await new_fetcher().fetch(announcement)


async def test_an_expired_url_is_exchanged(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.first_answers = ["403 Forbidden"]
    assert contents((await new_fetcher().fetch(announcement)).folder) == FILES
    # Two manifests and the files, of which the empty one needs no request.
    assert mirror.num_grants == 2 + len(FILES) - 1 + 1


async def test_a_server_in_trouble_is_asked_again(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.first_answers = ["503 Busy", "500 Broken", "429 Slow Down"]
    assert contents((await new_fetcher().fetch(announcement)).folder) == FILES


async def test_a_server_that_is_gone_is_told_after_some_tries(new_fetcher, publisher, impatient):
    num_grants = 0

    async def grant(keys):
        nonlocal num_grants
        num_grants += 1
        return ["http://127.0.0.1:1/"]

    with pytest.raises(StoreUnavailable, match="ConnectError"):
        await new_fetcher(grant=grant).fetch(await publisher.publish(FIRST, FILES))
    assert num_grants == 1


async def test_a_redirect_is_not_followed(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    mirror.first_answers = [f"302 Found\r\nLocation: http://127.0.0.1:{mirror.port}/inside"]
    with pytest.raises(StoreDenied, match="302"):
        await new_fetcher().fetch(announcement)
    assert len(mirror.asked) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "memory://x", "", "//x"])
async def test_only_http_is_spoken(new_fetcher, publisher, url):
    async def grant(keys):
        return [url]

    with pytest.raises(StoreDenied):
        await new_fetcher(grant=grant).fetch(await publisher.publish(FIRST, FILES))


async def test_an_object_that_is_not_there(new_fetcher, publisher, store):
    announcement = await publisher.publish(FIRST, FILES)
    await store.delete(blob(WEIGHTS))
    with pytest.raises(ObjectMissing):
        await new_fetcher().fetch(announcement)


async def test_an_older_policy_than_one_seen_is_refused_for_ever(new_fetcher, publisher):
    first, second = [await publisher.publish(policy, FILES) for policy in (FIRST, SECOND)]
    await new_fetcher().fetch(second)
    with pytest.raises(RollbackRefused, match=r"1-0 is older than 1-1"):
        await new_fetcher().fetch(first)
    await new_fetcher().fetch(second)
    later = await publisher.publish(PolicyId(2, 0), FILES)
    await new_fetcher().fetch(later)
    with pytest.raises(RollbackRefused):
        await new_fetcher().fetch(second)


async def test_a_forged_announcement_changes_nothing(new_fetcher, publisher, mirror):
    announcement = await publisher.publish(FIRST, FILES)
    forged = msgspec.structs.replace(announcement, policy=PolicyId(9, 9))
    with pytest.raises(SignatureInvalid):
        await new_fetcher().fetch(forged)
    with pytest.raises(SignatureInvalid, match="of run demo"):
        await new_fetcher(run="other").fetch(announcement)
    assert mirror.asked == []
    await new_fetcher().fetch(announcement)


async def test_manifests_of_two_policies_are_not_mixed(new_fetcher, publisher, mirror, store):
    first = await publisher.publish(FIRST, FILES)
    other = {**FILES, "model.safetensors": b"other weights"}
    second = await publisher.publish(SECOND, other)
    for name in (names.policy_manifest_key, names.path_manifest_key):
        mirror.replaced = {name("demo", SECOND): await store.get(name("demo", FIRST))}
        with pytest.raises(PolicyError):
            await new_fetcher().fetch(second)
    mirror.replaced = {}
    assert contents((await new_fetcher().fetch(second)).folder) == other
    with pytest.raises(RollbackRefused):
        await new_fetcher().fetch(first)


async def test_another_manifest_than_the_announced_one_is_refused(new_fetcher, publisher, store):
    announcement = await publisher.publish(FIRST, FILES)
    for name in (names.policy_manifest_key, names.path_manifest_key):
        await store.delete(name("demo", FIRST))
    await publisher.publish(FIRST, {**FILES, "model.safetensors": b"signed, but not announced"})
    with pytest.raises(DigestMismatch, match="not the announced one"):
        await new_fetcher().fetch(announcement)


async def test_a_disk_without_room_is_one_sentence(new_fetcher, publisher, monkeypatch):
    announcement = await publisher.publish(FIRST, FILES)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="1000 are free"):
        await new_fetcher().fetch(announcement)
