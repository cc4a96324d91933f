"""A restored run is the one that was backed up, down to every sequence and byte."""

import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace

from broker.audit import audit_run
from broker.backup import views
from broker.backup.progress import Silence
from broker.backup.restore import RestoreReport
from broker.backup.restore import restore as put_back
from broker.backup.take import take_backup
from broker.logbook import read_log, read_policies
from broker.look.life import life_in_run
from broker.memory import MemoryStore
from learner.coordinator.log import RunLog
from schemas import ledger, names
from schemas.errors import BackupDamaged, UserError
from schemas.trainer_events import PoliciesRestored, TrainerEntry
from schemas.wire import encode
from tests.support import hand_built
from tests.support.kept_run import Site, empty_site
from tests.support.mortality import Killed, MortalBroker, Mortality, MortalStore

KEY = hand_built.KEY.public
LOGS = ("LOG_demo", "POLICIES_demo")


@pytest.fixture
async def kept(site: Site, folder) -> Path:
    """A backup of the run."""
    await take_backup(site.broker, site.store, hand_built.RUN, folder, Silence())
    return folder


async def restore(site: Site, folder: Path, **other) -> RestoreReport:
    site = site._replace(**other)
    return await put_back(site.broker, site.store, folder, Silence())


async def records(site: Site, stream: str) -> list[tuple[int, str, bytes]]:
    return [(r.sequence, r.subject, r.data) async for r in site.broker.read(stream)]


async def objects(store: MemoryStore) -> dict[str, bytes]:
    return {info.key: await store.get(info.key) for info in await store.list("")}


async def test_it_has_the_same_records_and_objects(site: Site, other: Site, kept, capsys) -> None:
    report = await restore(other, kept)
    for stream in LOGS:
        there, was = await records(other, stream), await records(site, stream)
        assert there[:-1] == was
    found = await objects(other.store)
    assert len(found) == 19
    assert found.items() <= (await objects(site.store)).items()
    last = [item async for item in read_log(other.broker, "demo")][-1]
    assert isinstance(last.content, ledger.LedgerEntry)
    (event,) = last.content.events
    assert isinstance(event, ledger.RunRestored)
    assert event.queues == (ledger.QueueEnd(stream=hand_built.QUEUE, last_sequence=13),)
    assert (report.log_sequence, report.num_objects, report.num_there) == (12, 19, 0)

    *_, announced = [item async for item in read_policies(other.broker, "demo", KEY)]
    assert isinstance(announced.content, TrainerEntry)
    assert isinstance(announced.content.event, PoliciesRestored)

    audit = await audit_run(other.broker, "demo", store=other.store)
    assert audit.violations == ()
    assert (audit.num_lost_at_restores, audit.num_groups_hashed) == (1, 5)
    assert report.audit == replace(
        audit, num_groups_hashed=None, not_checked=report.audit.not_checked
    )
    views.show_restore(report)
    said = capsys.readouterr().out
    assert "13 last sequence = 12 judged + 0 unjudged + 1 lost at a restore" in said
    assert "put run.key into the run's folder" in said


async def test_records_keep_their_order_from_one_log_to_the_other(
    site: Site, other: Site, kept
) -> None:
    async def order(where: Site) -> list[tuple[str, int]]:
        both = [record for stream in LOGS async for record in where.broker.read(stream)]
        both.sort(key=lambda record: record.time)
        return [(record.stream, record.sequence) for record in both]

    await restore(other, kept)
    *records, policies, log = await order(other)
    assert records == await order(site)
    assert (policies, log) == (("POLICIES_demo", 6), ("LOG_demo", 12))


async def test_a_cluster_stores_it_on_as_many_nodes_as_it_has(other: Site, kept) -> None:
    await put_back(other.broker, other.store, kept, Silence(), num_replicas=3)
    assert {stream.spec.num_replicas for stream in other.server.streams.values()} == {3}


async def test_the_queue_goes_on_behind_what_it_had(other: Site, kept) -> None:
    await restore(other, kept)
    stored = await other.broker.publish(hand_built.subject(9, 2), hand_built.group(9, 2))
    assert stored.sequence == 14
    audit = await audit_run(other.broker, "demo", store=other.store)
    assert str(audit.equations[1]) == (
        "14 last sequence = 12 judged + 1 unjudged + 1 lost at a restore"
    )
    assert audit.holds


async def test_a_message_that_is_lost_can_be_asked_for(other: Site, kept) -> None:
    await restore(other, kept)
    (moment,) = (await life_in_run(other.broker, "demo", "s0:13")).moments
    assert moment.text.endswith("restored from: lost")
    with pytest.raises(UserError):
        await life_in_run(other.broker, "demo", "s0:14")


async def test_a_coordinator_takes_over_what_was_restored(site: Site, other: Site, kept) -> None:
    await restore(other, kept)
    logs = [RunLog(each.broker, "demo", "coordinator-3") for each in (site, other)]
    for log in logs:
        await log.start(hand_built.OPENED)
    was, is_ = (log.state for log in logs)
    assert is_ == was
    assert [log.term for log in logs] == [12, 13]
    audit = await audit_run(other.broker, "demo", store=other.store)
    assert audit.violations == ()


async def test_a_restored_run_can_be_kept_and_restored_again(
    site: Site, other: Site, kept, tmp_path
) -> None:
    await restore(other, kept)
    await other.broker.publish(hand_built.subject(9, 2), b"not judged either")
    # The folder of the first one goes on: the logs are the same up to there.
    again = await take_backup(other.broker, other.store, "demo", kept, Silence())
    assert (again.complete, again.num_fetched, again.num_without_verdict) == (True, 0, 1)
    third = empty_site(hand_built.START + 2000)
    report = await restore(third, kept)
    assert report.audit.violations == ()
    assert report.audit.num_lost_at_restores == 2
    assert (await other.broker.state(hand_built.QUEUE)).last_sequence == 14
    assert (await third.broker.state(hand_built.QUEUE)).last_sequence == 14
    # The first life went on in another way, which the folder now is not.
    entry = hand_built.entry(ledger.LeaseExpired(lease_id=9), instance="coordinator-2")
    await site.broker.append("LOG_demo", "ledger.demo", encode(entry), expected_last=11)
    with pytest.raises(UserError, match="another life"):
        await take_backup(site.broker, site.store, "demo", kept, Silence())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1 if b"\n" in data[:-1] else -1])


DAMAGE = {"flipped": flip, "cut": cut, "gone": Path.unlink}
PLACES = ("LOG/*", "POLICIES/*", "objects/archive/*/*/*", "objects/policies/*/1-1/anchor")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", PLACES)
async def test_damage_is_named_and_nothing_is_written(other: Site, kept, damage, place) -> None:
    victim = sorted(kept.glob(place))[0]
    DAMAGE[damage](victim)
    with pytest.raises(BackupDamaged) as refusal:
        await restore(other, kept)
    what = "is missing" if damage == "gone" else "has other bytes"
    assert f"{victim.relative_to(kept)} {what}" in str(refusal.value)
    assert (other.server.streams, await objects(other.store)) == ({}, {})


@pytest.mark.parametrize("damage", ["flipped", "cut"])
async def test_a_damaged_manifest_is_refused(other: Site, kept, damage) -> None:
    DAMAGE[damage](kept / "MANIFEST")
    with pytest.raises(BackupDamaged, match="damaged or cut short"):
        await restore(other, kept)
    assert other.server.streams == {}


async def test_a_folder_without_a_manifest_is_no_backup(other: Site, kept) -> None:
    (kept / "MANIFEST").unlink()
    with pytest.raises(UserError, match="has not ended there yet"):
        await restore(other, kept)


async def test_a_run_that_is_there_is_refused(site: Site, other: Site, kept) -> None:
    """The one that the backup is of, although it has not moved since; and a restored one."""
    before = await records(site, "LOG_demo")
    with pytest.raises(UserError, match="the server has a run demo already") as refusal:
        await restore(site, kept)
    assert "\n" not in str(refusal.value)
    assert await records(site, "LOG_demo") == before
    await restore(other, kept)
    before = await records(other, "LOG_demo")
    with pytest.raises(UserError, match="the server has a run demo already"):
        await restore(other, kept)
    assert await records(other, "LOG_demo") == before


async def test_another_run_of_that_name_is_refused(other: Site, kept) -> None:
    log = [hand_built.entry(hand_built.OPENED, hand_built.started("somebody-else"))]
    await hand_built.fill(other.broker, log)
    with pytest.raises(UserError, match="the server has a run demo already"):
        await restore(other, kept)


async def test_a_bucket_with_more_of_the_run_is_refused(other: Site, kept) -> None:
    key = names.policy_manifest_key("demo", (1, 3))  # type: ignore[arg-type]
    await other.store.put(key, b"of a life that the backup does not know")
    await other.store.put("archive/other/1/" + "0" * 64, b"another run's, which is no hindrance")
    with pytest.raises(UserError, match=f"holds 1 object of a run demo .* such as {key}"):
        await restore(other, kept)
    assert other.server.streams == {}


async def test_an_object_with_other_bytes_is_refused(site: Site, other: Site, kept) -> None:
    key = (await site.store.list("archive/"))[0].key
    await other.store.put(key, b"other")
    with pytest.raises(UserError, match=f"the bucket holds {key} with other bytes"):
        await restore(other, kept)


async def test_what_was_interrupted_anywhere_is_simply_repeated(
    site: Site, other: Site, kept
) -> None:
    lives = 0
    for moment in itertools.count(1, 7):
        mortality = Mortality(moment)
        broker, store = MortalBroker(other.server, mortality), MortalStore(other.store, mortality)
        try:
            report = await restore(other, kept, broker=broker, store=store)
            break
        except Killed:
            lives += 1
        except UserError:
            # It was killed behind its very last write.
            assert (await other.broker.state("LOG_demo")).last_sequence == 12
            report = None
            break
    assert lives > 5
    assert report is None or report.num_there == report.num_objects
    assert (await records(other, "LOG_demo"))[:11] == await records(site, "LOG_demo")
    audit = await audit_run(other.broker, "demo", store=other.store)
    assert audit.violations == ()
