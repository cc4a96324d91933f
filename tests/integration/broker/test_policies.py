"""Policies through a real object storage: published with boto3, fetched over presigned URLs."""

import asyncio
import random

import pytest

from broker.objects.s3 import S3Store
from broker.policies.download import open_http
from broker.policies.fetch import PolicyFetcher
from broker.policies.publication import read_files, read_policy
from schemas import names, wire
from schemas.errors import DigestMismatch, PolicyTaken
from schemas.policy import PolicyId
from tests.support.publisher import Publisher

pytestmark = pytest.mark.integration

FIRST = PolicyId(1, 0)
FILES = {
    "model.safetensors": random.Random(1).randbytes(3 << 20),
    "config.json": b"{}",
    "empty.txt": b"",
}


@pytest.fixture
async def store(s3_connection):
    store = S3Store.open(s3_connection)
    yield store
    for each in await store.list(""):
        await store.delete(each.key)
    await store.close()


@pytest.fixture
def publisher(store, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    return Publisher(store, folder)


@pytest.fixture
async def fetcher(store, publisher, tmp_path):
    async def grant(keys):
        lifetimes_s.append(next(lifetime_s))
        return [store.presign_get(key, lifetime_s=lifetimes_s[-1]) for key in keys]

    # The first URL has expired when it is used.
    lifetime_s = iter([0, *[60] * 100])
    lifetimes_s = []
    async with open_http(trust_env=False) as http:
        yield PolicyFetcher(
            run="demo",
            run_key=publisher.key.public,
            grant=grant,
            cache=tmp_path / "cache",
            http=http,
        )


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_a_published_policy_arrives_on_both_sides(publisher, fetcher, store, tmp_path):
    announcement = await publisher.publish(FIRST, FILES)
    assert contents((await fetcher.fetch(announcement)).folder) == FILES
    _, path = await read_policy(store, "demo", FIRST, publisher.key.public)
    await read_files(store, path, tmp_path / "back")
    assert contents(tmp_path / "back") == FILES


async def test_a_beginning_on_disk_is_completed_by_a_range(publisher, fetcher, tmp_path):
    announcement = await publisher.publish(FIRST, FILES)
    data = FILES["model.safetensors"]
    (blobs,) = tmp_path.glob("cache/*/blobs")
    (blobs / f"{wire.sha256_hex(data)}.part").write_bytes(data[: 1 << 20])
    assert contents((await fetcher.fetch(announcement)).folder) == FILES


async def test_tampered_weights_are_refused(publisher, fetcher, store):
    announcement = await publisher.publish(FIRST, FILES)
    data = bytearray(FILES["model.safetensors"])
    sha256 = wire.sha256_hex(data)
    data[1000] ^= 1
    await store.put(names.blob_key("demo", sha256), bytes(data))
    with pytest.raises(DigestMismatch):
        await fetcher.fetch(announcement)


async def test_of_two_trainers_one_publishes_and_the_other_stops(publisher):
    async def publish(weights):
        try:
            return await publisher.publish(FIRST, {**FILES, "model.safetensors": weights})
        except PolicyTaken:
            return None

    published = await asyncio.gather(*(publish(b"weights %d" % each) for each in range(4)))
    assert sum(each is not None for each in published) == 1
    winner = next(number for number, each in enumerate(published) if each)
    again = await publisher.publish(FIRST, {**FILES, "model.safetensors": b"weights %d" % winner})
    assert again == published[winner]
