"""What the doctor thinks of servers, from facts alone."""

import pytest
from msgspec.structs import replace

from broker.doctor.clocks import check_clock
from broker.doctor.disk import check_account, check_disk
from broker.doctor.durability import check_replicas, check_storage, check_sync
from broker.doctor.facts import Clock, Greeting, ReplicaFacts, ServerFacts, StreamFacts
from broker.doctor.finding import Level
from broker.doctor.messages import check_payload, check_strict
from broker.doctor.server import check_servers
from broker.doctor.versions import check_version
from schemas.settings import BatchSettings, IntakeSettings, RunSettings

GIB = 1 << 30
SERVER = ServerFacts(
    name="one",
    version="2.15.1",
    sync_always=True,
    sync_interval_s=120,
    store="/data/js",
    max_storage=100 * GIB,
    storage=GIB,
    clock=Clock(ahead_s=0, error_s=0.001),
    free_bytes=50 * GIB,
)
QUEUE = StreamFacts(
    name="QUEUE", num_bytes=GIB, config={"max_bytes": 5 * GIB, "storage": "file", "num_replicas": 1}
)
LOG = StreamFacts(name="LOG", num_bytes=7, config={"max_bytes": -1, "storage": "file"})
THREEFOLD = StreamFacts(
    name="THREEFOLD", num_bytes=0, config={"max_bytes": -1, "storage": "file", "num_replicas": 3}
)
GREETING = Greeting(
    name="one", version="2.15.1", max_message_bytes=5 << 20, clock=None, strict=True
)


@pytest.mark.parametrize(
    ("version", "level", "word"),
    [
        ("2.15.1", Level.OK, "2.15.1"),
        ("2.14.0", Level.OK, "2.14.0"),
        ("3.0.0-dev", Level.OK, "3.0.0"),
        ("2.13.9", Level.CRITICAL, "coordinator"),
        ("2.10.23", Level.CRITICAL, "coordinator"),
        ("2.10.22", Level.CRITICAL, "lose"),
        ("2.9.10", Level.CRITICAL, "lose"),
        ("", Level.WARNING, "unknown"),
    ],
)
def test_a_version(version, level, word):
    finding = check_version("one", version)
    assert (finding.level, finding.known) == (level, word != "unknown")
    assert word in finding.found
    assert bool(finding.fix) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("ahead_s", "error_s", "level"),
    [
        (0.1, 0.01, Level.OK),
        (-2.3, 0.5, Level.OK),
        (-3.0, 0.5, Level.WARNING),
        (59.0, 0.0, Level.WARNING),
        (-7200.0, 0.01, Level.CRITICAL),
    ],
)
def test_a_clock(ahead_s, error_s, level):
    finding = check_clock("one", Clock(ahead_s=ahead_s, error_s=error_s))
    assert finding.level is level
    if level is not Level.OK:
        assert ("behind" in finding.found) == (ahead_s < 0)


def test_a_clock_that_is_not_told_is_unknown():
    assert check_clock("one", None).known is False


def test_sync_is_needed_the_more_the_fewer_replicas_there_are():
    late = replace(SERVER, sync_always=False)
    (alone,) = check_sync([late], [LOG, THREEFOLD])
    assert (alone.level, "LOG" in alone.found, "THREEFOLD" in alone.found) == (
        Level.CRITICAL,
        True,
        False,
    )
    assert "2 min 0 s later" in alone.found
    assert "sync_interval: always" in alone.fix
    (replicated,) = check_sync([late], [THREEFOLD])
    assert replicated.level is Level.WARNING
    (nothing_yet,) = check_sync([late], [])
    assert nothing_yet.level is Level.CRITICAL
    assert check_sync([SERVER], [LOG])[0].level is Level.OK


def test_what_no_server_says_is_unknown_with_the_line_that_asks():
    findings = [*check_sync([], [LOG]), *check_disk([], [LOG])]
    assert [each.check for each in findings] == ["sync", "disk", "writes"]
    for finding in findings:
        assert (finding.level, finding.known) == (Level.WARNING, False)
        assert "--monitor" in finding.fix


def test_streams_in_memory_and_replicas_that_are_away():
    in_memory = StreamFacts(name="M", num_bytes=0, config={"storage": "memory"})
    assert check_storage(in_memory).level is Level.CRITICAL
    assert check_storage(LOG).level is Level.OK
    here, behind, away = (
        ReplicaFacts(name="two", current=True),
        ReplicaFacts(name="two"),
        ReplicaFacts(name="three", offline=True),
    )
    levels = [
        check_replicas(replace(THREEFOLD, followers=followers)).level
        for followers in ((here,), (here, behind), (behind, away))
    ]
    assert levels == [Level.OK, Level.WARNING, Level.WARNING]
    assert "behind" in check_replicas(replace(THREEFOLD, followers=(here, behind))).found
    assert "three" in check_replicas(replace(THREEFOLD, followers=(here, away))).fix


@pytest.mark.parametrize(
    ("free", "level"),
    [(50 * GIB, Level.OK), (int(4.5 * GIB), Level.WARNING), (3 * GIB, Level.CRITICAL)],
)
def test_queues_must_be_full_before_the_disk_is(free, level):
    disk, *_ = check_disk([replace(SERVER, free_bytes=free)], [QUEUE, LOG])
    assert disk.level is level
    assert "4.0 GiB more" in disk.found


def test_a_disk_of_another_machine_is_unknown():
    disk, *_ = check_disk([replace(SERVER, free_bytes=None)], [QUEUE])
    assert (disk.known, "df -h /data/js" in disk.fix) == (False, True)


@pytest.mark.parametrize(
    ("stored", "level"),
    [(GIB, Level.OK), (98 * GIB, Level.WARNING), (100 * GIB, Level.CRITICAL)],
)
def test_the_servers_own_limit(stored, level):
    _, limit, _ = check_disk([replace(SERVER, storage=stored)], [QUEUE])
    assert limit.level is level
    assert bool(limit.fix.startswith("max_file_store: ")) == (level is not Level.OK)


def test_servers_here_may_be_on_one_disk():
    three = [replace(SERVER, name=name, free_bytes=11 * GIB) for name in ("one", "two", "three")]
    assert check_disk(three, [QUEUE])[0].level is Level.CRITICAL
    assert check_disk(three[:1], [QUEUE])[0].level is Level.OK


def test_the_limit_of_an_account():
    assert check_account(GREETING, [QUEUE]) == []
    (bounded,) = check_account(replace(GREETING, max_storage=4 * GIB, storage=GIB), [QUEUE])
    assert bounded.level is Level.WARNING


def test_a_stream_whose_write_has_failed():
    error = "JetStream stream '$G > LOG_demo' write error: no space left on device"
    sick = replace(SERVER, write_errors=(error,))
    *_, theirs = check_disk([sick], [])
    assert (theirs.level, theirs.found.startswith("LOG_demo stores nothing more")) == (
        Level.CRITICAL,
        True,
    )
    assert theirs.fix.startswith("df -h /data/js && systemctl restart nats-server")
    *_, ours = check_disk([replace(sick, our_folder="/my servers")], [])
    down, up = "broker down --servers '/my servers'", "broker up --servers '/my servers'"
    assert ours.fix == f"df -h /data/js && {down} && {up}"


def test_groups_and_batches_must_fit_into_a_message():
    settings = RunSettings(name="demo")
    assert check_payload(GREETING, settings).level is Level.OK
    small = replace(GREETING, max_message_bytes=(1 << 20) - 512)
    finding = check_payload(small, settings)
    assert (finding.level, finding.fix.startswith("max_payload: 2MB")) == (Level.CRITICAL, True)
    many = RunSettings(
        name="demo",
        intake=IntakeSettings(max_message_bytes=1024),
        batch=BatchSettings(num_groups=65_536),
    )
    assert "batch of 65536 groups" in check_payload(small, many).found


def test_strict_requests():
    assert check_strict(GREETING).level is Level.OK
    assert check_strict(replace(GREETING, strict=False)).level is Level.CRITICAL
    assert check_strict(replace(GREETING, strict=None)).known is False


def test_one_of_a_cluster_that_is_away():
    (away,) = [
        each
        for each in check_servers(GREETING, [SERVER, replace(SERVER, name="two", answers=False)])
        if each.check == "server"
    ]
    assert (away.about, away.level, away.fix[:9]) == ("two", Level.WARNING, "broker up")
