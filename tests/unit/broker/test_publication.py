"""Publishing a policy, and reading it back on the learner's side."""

import asyncio

import pytest

from broker.policies import blob, signing
from broker.policies.publication import read_files, read_policy
from schemas import names, wire
from schemas.errors import (
    DigestMismatch,
    ObjectMissing,
    PolicyTaken,
    SignatureInvalid,
    StoreUnavailable,
    UserError,
)
from schemas.policy import PathManifest, PolicyId

FIRST = PolicyId(1, 0)
FILES = {"model.safetensors": b"weights", "config.json": b"{}", "empty.txt": b""}


async def test_a_published_policy_reads_back(publisher, store, tmp_path):
    announcement = await publisher.publish(FIRST, FILES)
    manifest, path = await read_policy(store, "demo", FIRST, publisher.key.public)
    assert [file.name for file in manifest.files] == ["config.json", "empty.txt"]
    data = await store.get(names.policy_manifest_key("demo", FIRST))
    assert announcement.manifest_sha256 == wire.sha256_hex(data)
    await read_files(store, path, tmp_path / "back")
    back = {file.name: file.read_bytes() for file in (tmp_path / "back").iterdir()}
    assert back == FILES


async def test_what_begins_with_a_dot_is_left_out(publisher, store):
    hidden = {".gitattributes": b"*.safetensors filter=lfs", ".cache/downloads": b""}
    await publisher.publish(FIRST, {**FILES, **hidden})
    _, path = await read_policy(store, "demo", FIRST, publisher.key.public)
    assert {file.name for file in path.files} == set(FILES)


@pytest.mark.parametrize("name", ["my notes.txt", "gewichte-ä.bin", "a" * 129, "a\nb"])
async def test_a_name_that_no_manifest_takes_is_one_sentence(publisher, store, name):
    with pytest.raises(UserError, match="rename it") as refusal:
        await publisher.publish(FIRST, {**FILES, name: b""})
    assert repr(name)[1:-1] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert await store.list("") == []


async def test_a_folder_inside_is_one_sentence(publisher, store):
    with pytest.raises(UserError, match="templates is no file"):
        await publisher.publish(FIRST, {**FILES, "templates/tool.jinja": b""})
    assert await store.list("") == []


async def test_a_file_that_is_there_is_not_sent_again(publisher, store):
    await publisher.publish(FIRST, FILES)
    sent = []
    put = store.put

    async def watched_put(key, data):
        sent.append(data)
        await put(key, data)

    store.put = watched_put
    await publisher.publish(PolicyId(1, 1), {**FILES, "model.safetensors": b"others"})
    assert sent == [b"others"]


@pytest.mark.parametrize("damaged", [b"Weights", b"weight", b""])
async def test_a_damaged_object_is_written_again(publisher, store, damaged):
    announcement = await publisher.publish(FIRST, FILES)
    key = names.blob_key("demo", wire.sha256_hex(FILES["model.safetensors"]))
    await store.put(key, damaged)
    assert await publisher.publish(FIRST, FILES) == announcement
    assert await store.get(key) == FILES["model.safetensors"]


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (None, "is missing"),
        (b"weight", "has 6 bytes instead of 7"),
        (b"Weights", "has other bytes"),
        (b"weights", ""),
    ],
)
async def test_damage_is_found(store, tmp_path, damaged, words):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    file = blob.file_entry(path)
    if damaged is not None:
        await store.put(names.blob_key("demo", file.sha256), damaged)
    assert await blob.find_damage(store, "demo", file) == words


async def test_a_file_of_several_chunks_is_read_to_its_end(store, tmp_path, monkeypatch):
    monkeypatch.setattr(blob, "_CHUNK_BYTES", 3)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    file = await blob.upload(store, "demo", path)
    assert await blob.find_damage(store, "demo", file) == ""
    await store.put(names.blob_key("demo", file.sha256), b"weightS")
    assert await blob.find_damage(store, "demo", file) == "has other bytes"


async def test_a_repeated_publication_is_adopted(publisher):
    assert await publisher.publish(FIRST, FILES) == await publisher.publish(FIRST, FILES)


async def test_an_interrupted_publication_is_finished_by_the_next(publisher, store):
    whole = await publisher.publish(FIRST, FILES)
    await store.delete(names.policy_manifest_key("demo", FIRST))
    assert await publisher.publish(FIRST, FILES) == whole


@pytest.mark.parametrize(
    ("files", "change"),
    [
        ({**FILES, "model.safetensors": b"others"}, {}),
        ({**FILES, "config.json": b"[]"}, {}),
        (FILES, {"previous_sha256": "00" * 32}),
    ],
)
async def test_other_contents_under_a_name_that_is_taken_are_refused(
    publisher, store, files, change
):
    await publisher.publish(FIRST, FILES)
    before = await store.get(names.policy_manifest_key("demo", FIRST))
    with pytest.raises(PolicyTaken, match="another trainer"):
        await publisher.publish(FIRST, files, **change)
    assert await store.get(names.policy_manifest_key("demo", FIRST)) == before


async def test_what_another_key_signed_is_not_adopted(publisher):
    await publisher.publish(FIRST, FILES)
    publisher.key = signing.RunKey.generate()
    with pytest.raises(PolicyTaken):
        await publisher.publish(FIRST, FILES)


async def test_of_two_trainers_one_wins_and_its_files_are_there(publisher, store, tmp_path):
    async def train(weights):
        try:
            return await publisher.publish(FIRST, {**FILES, "model.safetensors": weights})
        except PolicyTaken:
            return None

    announcements = await asyncio.gather(*(train(b"weights %d" % each) for each in range(8)))
    assert sum(each is not None for each in announcements) == 1
    winner = next(number for number, each in enumerate(announcements) if each)
    _, path = await read_policy(store, "demo", FIRST, publisher.key.public)
    await read_files(store, path, tmp_path / "back")
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == b"weights %d" % winner


async def test_a_storage_that_is_away_leaves_no_manifest(publisher, store):
    store.away = True
    with pytest.raises(StoreUnavailable):
        await publisher.publish(FIRST, FILES)
    store.away = False
    assert await store.list("") == []
    with pytest.raises(ObjectMissing):
        await read_policy(store, "demo", FIRST, publisher.key.public)


async def test_the_manifest_of_another_policy_is_refused(publisher, store):
    await publisher.publish(FIRST, FILES)
    for name in (names.policy_manifest_key, names.path_manifest_key):
        await store.put(name("demo", (1, 1)), await store.get(name("demo", FIRST)))
    with pytest.raises(DigestMismatch, match="asked for policy 1-1"):
        await read_policy(store, "demo", PolicyId(1, 1), publisher.key.public)


async def test_a_manifest_of_another_kind_is_refused(publisher, store):
    await publisher.publish(FIRST, FILES)
    data = await store.get(names.path_manifest_key("demo", FIRST))
    await store.put(names.policy_manifest_key("demo", FIRST), data)
    with pytest.raises(SignatureInvalid):
        await read_policy(store, "demo", FIRST, publisher.key.public)


async def test_a_tampered_file_is_not_written(publisher, store, tmp_path):
    await publisher.publish(FIRST, FILES)
    data = await store.get(names.path_manifest_key("demo", FIRST))
    path = signing.open_manifest(publisher.key.public, data, PathManifest)
    await store.put(names.blob_key("demo", wire.sha256_hex(b"weights")), b"Weights")
    with pytest.raises(DigestMismatch, match=r"model\.safetensors"):
        await read_files(store, path, tmp_path / "back")
    assert not (tmp_path / "back" / "model.safetensors").exists()
