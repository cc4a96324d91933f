"""The servers that a benchmark runs against, started for it."""

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from broker.embedded import cluster, nats_server, servers
from broker.embedded.launch import wait_until_up
from broker.program.process import free_port, free_ports, spawn, stop

_FOLDER = Path("runs")
"""Where runs are kept, hence on a disk: the usual temporary directory may be memory, where a sync
costs nothing."""
_SYNC_ALWAYS: Final = "  sync_interval: always\n"
_STOP_GRACE_S: Final = 5.0


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder on a disk, gone afterwards."""
    _FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=_FOLDER) as name:
        yield Path(name).resolve()


@contextlib.contextmanager
def running_servers() -> Iterator[servers.Servers]:
    """A nats-server (sync_interval always) and a SeaweedFS, both empty, gone afterwards."""
    with folder() as directory:
        started = servers.up(directory, detached=False)
        try:
            yield started
        finally:
            servers.down(directory)


@contextlib.contextmanager
def running_cluster(num_nodes: int) -> Iterator[str]:
    """The URL of so many nats-servers (sync_interval always) that are one cluster."""
    with folder() as directory:
        nodes = cluster.launch(directory, free_ports(num_nodes), detached=False)
        try:
            cluster.wait(directory, nodes)
            yield cluster.url(nodes)
        finally:
            for node in nodes:
                stop(node.process, grace_s=_STOP_GRACE_S)


@contextlib.contextmanager
def running_lazy_nats() -> Iterator[str]:
    """The URL of a nats-server that syncs when it pleases, as it does unless it is told."""
    with folder() as directory:
        port = free_port()
        nats_server.write_config(directory, port)
        config = directory / "nats.conf"
        text = config.read_text()
        assert _SYNC_ALWAYS in text
        config.write_text(text.replace(_SYNC_ALWAYS, ""))
        process = nats_server.launch(directory, detached=False)
        try:
            nats_server.wait(directory, process, port)
            yield nats_server.url(port)
        finally:
            stop(process, grace_s=_STOP_GRACE_S)


def find_redis() -> str | None:
    """The redis-server on the PATH."""
    return shutil.which("redis-server")


@contextlib.contextmanager
def running_redis(appendfsync: str) -> Iterator[int]:
    """The port of a redis-server that keeps an append-only file, synced `always` or `everysec`."""
    program = find_redis()
    assert program is not None
    with folder() as directory:
        port, log = free_port(), directory / "redis.log"
        settings = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(directory),
            "save": "",
            "appendonly": "yes",
            "appendfsync": appendfsync,
            # Or it would copy all that it has in the middle of a round.
            "auto-aof-rewrite-percentage": "0",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        process = spawn([program, *words], log=log, detached=False)
        try:
            wait_until_up("redis-server", process, log, lambda: _pongs(port))
            yield port
        finally:
            stop(process, grace_s=_STOP_GRACE_S)


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
