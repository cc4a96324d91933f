"""A backup has all that the logs name, and is never less than it was."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from broker.backup import records, views
from broker.backup.folder import BackupFolder
from broker.backup.manifest import read_manifest
from broker.backup.objects import PIECE_BYTES
from broker.backup.progress import Silence
from broker.backup.take import BackupReport, take_backup
from broker.backup.whole import open_backup
from broker.memory import MemoryBroker, MemoryStore
from broker.objects.archive import Archive
from broker.streams import run_streams
from schemas import names
from schemas.errors import UserError
from schemas.ledger import LeaseExpired, MessagesPurged, Span
from schemas.purge import PurgeReason
from schemas.wire import encode
from tests.support import hand_built, kept_run
from tests.support.kept_run import Site, empty_site
from tests.support.mortality import Killed

NUM_OBJECTS = 7 + 1 + 3 * 2 + 3 + 2
"""Segments, the refused sample, manifests, weights, and two small files that policies share."""


async def take(site: Site, folder: Path, **other) -> BackupReport:
    site = site._replace(**other)
    return await take_backup(site.broker, site.store, hand_built.RUN, folder, Silence())


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "MANIFEST"
    }


async def append(broker: MemoryBroker, *events, expected_last: int) -> None:
    entry = hand_built.entry(*events, instance="coordinator-2")
    subject = names.ledger_subject(hand_built.RUN)
    await broker.append("LOG_demo", subject, encode(entry), expected_last=expected_last)


async def test_it_has_every_record_and_every_object_that_is_named(site: Site, folder) -> None:
    await site.store.put("archive/demo/1/" + "0" * 64, b"garbage: no entry names it")
    report = await take(site, folder)
    assert report.complete
    assert (report.log_sequence, report.policies_sequence) == (11, 5)
    assert report.num_without_verdict == 1
    assert report.num_fetched == NUM_OBJECTS
    backup = await open_backup(folder, Silence())
    assert backup.manifest.sha256 == report.manifest_sha256
    for kept, stream in ((backup.log, "LOG_demo"), (backup.policies, "POLICIES_demo")):
        records = [record.as_record(stream) for record in kept.records()]
        assert records == [record async for record in site.broker.read(stream)]
    found = {key: files(folder)[file.name] for key, file in backup.objects()}
    assert len(found) == NUM_OBJECTS
    assert found == {key: await site.store.get(key) for key in found}
    assert names.refused_key("demo", hand_built.refused(7, None, "late").sha256) in found  # type: ignore[arg-type]
    head = backup.manifest.head
    assert head.num_files == report.num_files == len(files(folder))
    assert head.num_bytes == report.num_bytes == sum(map(len, files(folder).values()))


async def test_common_tools_can_check_it(site: Site, folder) -> None:
    await take(site, folder)
    check = ["sha256sum", "--check", "--strict", "--quiet", "MANIFEST"]
    assert await asyncio.to_thread(subprocess.call, check, cwd=folder) == 0
    victim = next(path for path in folder.glob("objects/archive/**/*") if path.is_file())
    victim.chmod(0o600)
    victim.write_bytes(b"other")
    assert await asyncio.to_thread(subprocess.call, check, cwd=folder) == 1


async def test_a_second_one_fetches_only_what_is_new(site: Site, folder) -> None:
    await take(site, folder)
    before = files(folder)
    again = await take(site, folder)
    assert (again.num_fetched, again.num_fetched_bytes) == (0, 0)
    assert files(folder) == before

    data = hand_built.group(9, 2)
    segment = await Archive(site.store, "demo").write([data], term=1)
    accepted = replace(hand_built.accepted(13, 9, 2), segment=segment.name)
    await append(site.broker, accepted, expected_last=11)
    more = await take(site, folder)
    assert more.complete
    assert (more.log_sequence, more.num_fetched, more.num_without_verdict) == (12, 1, 0)
    after = files(folder)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


async def test_what_is_damaged_in_the_folder_is_fetched_again(site: Site, folder) -> None:
    await take(site, folder)
    whole = files(folder)
    victims = [*folder.glob("LOG/*"), *(p for p in folder.glob("objects/**/*") if p.is_file())]
    for path in victims:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = await take(site, folder)
    assert again.complete
    assert files(folder) == whole


async def test_a_run_that_goes_on_is_kept_as_it_was_at_the_beginning(site: Site, folder) -> None:
    """An entry, its segment, a policy and a message come while objects are on their way."""

    class Busy(MemoryStore):
        async def get(self, key, **where):
            nonlocal went_on
            if not went_on:
                went_on = True
                await append(site.broker, LeaseExpired(lease_id=9), expected_last=11)
                await site.broker.publish(hand_built.subject(9, 2), b"one more")
            return await site.store.get(key, **where)

    went_on = False
    report = await take(site, folder, store=Busy())
    assert went_on
    assert report.complete
    assert (report.log_sequence, report.num_without_verdict) == (11, 1)
    head = (await open_backup(folder, Silence())).manifest.head
    assert [end.last_sequence for end in head.logs] == [5, 11]
    assert [end.last_sequence for end in head.queues] == [13]


async def test_what_was_purged_does_not_count_as_without_a_verdict(site: Site, folder) -> None:
    purged = MessagesPurged(
        purge=0, stream=hand_built.QUEUE, reason=PurgeReason.PURGED, spans=(Span(13, 13),)
    )
    await append(site.broker, purged, expected_last=11)
    assert (await take(site, folder)).num_without_verdict == 0


async def test_the_ends_are_founded_in_each_other(site: Site, folder) -> None:
    """Whatever is written between two readings of ends comes into what is read later."""
    asked = []

    class Watched(MemoryBroker):
        async def state(self, stream):
            asked.append(stream)
            return await super().state(stream)

    await take(site, folder, broker=Watched(site.server))
    assert asked[:3] == ["POLICIES_demo", "LOG_demo", hand_built.QUEUE]


async def test_one_that_is_killed_leaves_the_one_before_it_whole(site: Site, folder) -> None:
    first = await take(site, folder)
    data = hand_built.group(9, 2)
    segment = await Archive(site.store, "demo").write([data], term=1)
    accepted = replace(hand_built.accepted(13, 9, 2), segment=segment.name)
    await append(site.broker, accepted, expected_last=11)

    class Mortal(MemoryStore):
        async def get(self, key, **where):
            raise Killed

    with pytest.raises(Killed):
        await take(site, folder, store=Mortal())
    whole = await open_backup(folder, Silence())
    assert whole.manifest.sha256 == first.manifest_sha256
    assert (await take(site, folder)).log_sequence == 12


async def test_one_that_is_killed_anywhere_is_gone_on_with(site: Site, folder) -> None:
    class Mortal(MemoryStore):
        async def get(self, key, **where):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return await site.store.get(key, **where)

    deaths, report = 0, None
    while report is None:
        mortal = Mortal()
        mortal.left = 12
        try:
            report = await take(site, folder, store=mortal)
        except Killed:
            deaths += 1
            assert not BackupFolder(folder).manifest.exists()
            assert deaths < 20, "it does not get further"
    assert deaths
    assert report.complete
    assert report.num_fetched < NUM_OBJECTS
    assert not list(folder.glob("**/.*"))
    fresh = await take(site, folder.with_name("fresh"))
    assert files(folder) == files(folder.with_name("fresh"))
    assert report.num_bytes == fresh.num_bytes


async def test_a_long_log_comes_in_chunks(site: Site, folder, monkeypatch) -> None:
    await take(site, folder.with_name("whole"))
    monkeypatch.setattr(records, "CHUNK_BYTES", 1500)
    await take(site, folder)
    assert len(list(folder.glob("LOG/*"))) > 3
    lines = [
        b"".join(path.read_bytes() for path in sorted(where.glob("LOG/*")))
        for where in (folder, folder.with_name("whole"))
    ]
    assert lines[0] == lines[1]
    kept = (await open_backup(folder, Silence())).log
    assert [record.sequence for record in kept.records()] == list(range(1, 12))
    victim = sorted(folder.glob("LOG/*"))[1]
    victim.write_bytes(b"damaged")
    # Only what is behind it is read again.
    assert (await take(site, folder)).complete
    assert b"".join(path.read_bytes() for path in sorted(folder.glob("LOG/*"))) == lines[0]


async def test_what_came_of_it_is_said_in_words(site: Site, folder, capsys) -> None:
    views.show_backup(await take(site, folder))
    said = capsys.readouterr().out
    assert f"demo is in {folder}: LOG to 11, POLICIES to 5, 21 files" in said
    assert "fetched 19 objects" in said
    assert "not in it: 1 message without a verdict in the queues, and the run's key" in said
    key = (await site.store.list("archive/demo/1/"))[0].key
    await site.store.delete(key)
    views.show_backup(await take(site, folder.with_name("other")))
    assert "there is no manifest of this backup" in capsys.readouterr().out


async def test_large_objects_come_in_pieces(site: Site, folder) -> None:
    pieces = []

    class Watched(MemoryStore):
        async def get(self, key, *, offset=0, length=None):
            data = await site.store.get(key, offset=offset, length=length)
            pieces.append(len(data))
            return data

    await take(site, folder, store=Watched())
    assert max(pieces) == PIECE_BYTES < len(kept_run.LARGE)


@pytest.mark.parametrize("kind", ["archive/", "policies/demo/1-1/anchor", "policies/demo/blobs"])
@pytest.mark.parametrize("is_missing", [True, False])
async def test_what_the_bucket_lacks_is_named(site: Site, folder, kind, is_missing) -> None:
    first = await take(site, folder.with_name("first"))
    assert first.complete
    key = (await site.store.list(kind if kind != "archive/" else "archive/demo/1/"))[0].key
    await site.store.delete(key)
    if not is_missing:
        await site.store.put(key, b"other bytes")
    for _ in range(2):  # It is looked for again, and the rest is there.
        report = await take(site, folder)
        assert [key in each for each in report.lacking] == [True]
        assert (report.complete, report.manifest_sha256) == (False, "")
    with pytest.raises(UserError, match="has not ended there yet"):
        read_manifest(BackupFolder(folder).manifest)


async def test_the_folder_of_another_run_is_left_alone(site: Site, folder, tmp_path) -> None:
    await take(site, folder)
    before = files(folder)
    again = empty_site()
    (tmp_path / "again").mkdir()
    await kept_run.fill(again.broker, again.store, tmp_path / "again")
    log = again.server.streams["LOG_demo"]
    log.records[11] = replace(log.records[11], data=b"another life")
    with pytest.raises(UserError, match=r"record 11 of LOG_demo is not the one"):
        await take(again, folder)
    assert files(folder) == before


async def test_a_folder_with_something_else_in_it_is_refused(site: Site, folder) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("do not lose me")
    with pytest.raises(UserError, match="is not empty and holds no backup"):
        await take(site, folder)


async def test_two_at_once_are_refused(site: Site, folder) -> None:
    with BackupFolder(folder).held(), pytest.raises(UserError, match="another backup into"):
        await take(site, folder)


async def test_a_run_that_is_not_there_or_not_opened_is_one_sentence(site: Site, folder) -> None:
    with pytest.raises(UserError, match="has no run nope; it has demo"):
        await take_backup(site.broker, site.store, "nope", folder, Silence())
    empty = empty_site()
    for spec in run_streams(hand_built.SETTINGS):
        await empty.broker.ensure_stream(spec)
    with pytest.raises(UserError, match="has no entry in its log yet"):
        await take(empty, folder)
