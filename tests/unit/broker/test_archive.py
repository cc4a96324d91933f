"""The archive: segments, slices, and what may be collected."""

import pytest

from broker.memory import MemoryStore
from broker.objects.archive import Archive
from schemas import names, wire
from schemas.errors import DigestMismatch, ObjectMissing, StoreUnavailable

TERM = 3
GROUPS = [b"first group", b"x", b"the third group"]


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def archive(store):
    return Archive(store, "run")


async def test_each_group_reads_back_by_its_slice(store, archive):
    segment = await archive.write(GROUPS, term=TERM)
    assert segment.name == f"{TERM}-{wire.sha256_hex(b''.join(GROUPS))}"
    for group, (offset, length) in zip(GROUPS, segment.slices, strict=True):
        sha256 = wire.sha256_hex(group)
        read = await archive.read(segment.name, offset=offset, length=length, sha256=sha256)
        assert read == group
    assert [each.key for each in await store.list("")] == [names.segment_key("run", segment.name)]


async def test_the_same_groups_are_the_same_object(store, archive):
    assert await archive.write(GROUPS, term=TERM) == await archive.write(GROUPS, term=TERM)
    assert len(await store.list("")) == 1


@pytest.mark.parametrize("damage", [b"First group", b"first grou", b""])
async def test_other_bytes_than_the_accepted_ones_are_refused(store, archive, damage):
    segment = await archive.write(GROUPS[:1], term=TERM)
    await store.put(names.segment_key("run", segment.name), damage)
    with pytest.raises(DigestMismatch, match=names.segment_key("run", segment.name)):
        await archive.read(
            segment.name, offset=0, length=11, sha256=wire.sha256_hex(b"first group")
        )


async def test_a_missing_segment_is_said_to_be_missing(archive):
    with pytest.raises(ObjectMissing):
        await archive.read(f"{TERM}-{0:064}", offset=0, length=1, sha256="0" * 64)


async def test_only_unnamed_segments_of_earlier_terms_of_this_run_are_collected(store, archive):
    named = await archive.write([b"named"], term=TERM)
    garbage = await archive.write([b"garbage"], term=TERM)
    own = await archive.write([b"garbage"], term=TERM + 1)
    foreign = await Archive(store, "run2").write([b"garbage of another run"], term=TERM)
    assert await archive.collect({named.name}, before_term=TERM + 1) == [garbage.name]
    kept = [each.key for each in await store.list("archive/")]
    assert kept == [
        names.segment_key("run", named.name),
        names.segment_key("run", own.name),
        names.segment_key("run2", foreign.name),
    ]


async def test_refused_bytes_are_kept_apart_and_never_collected(store, archive):
    digest = await archive.keep_refused(b"junk")
    assert await archive.collect(set(), before_term=99) == []
    assert await archive.read_refused(digest) == b"junk"
    await store.put(names.refused_key("run", digest), b"others")
    with pytest.raises(DigestMismatch, match="the 6 bytes of refused/run/"):
        await archive.read_refused(digest)


async def test_a_storage_that_is_away_is_not_a_written_segment(store, archive):
    store.away = True
    with pytest.raises(StoreUnavailable):
        await archive.write(GROUPS, term=TERM)
