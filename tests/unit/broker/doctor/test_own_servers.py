"""What the folder of `broker up` says about the servers that it has started."""

import os

import msgspec

from broker.doctor.read_own import read_own, write_errors
from broker.embedded import nats_server
from broker.embedded.cluster import Node
from broker.embedded.started import Servers
from broker.program import process
from broker.program.process import ProcessId, free_ports

FAILED = (
    "[1] 2026/11/29 00:53:39.758391 [ERR] JetStream stream '$G > {}' critical write error: "
    "write 1.blk: no space left on device\n"
)
STARTED = "[1] 2026/11/29 00:53:38.507357 [INF] Starting nats-server\n"


def started_in(folder, *folders) -> Servers:
    """As if these folders' servers ran: this process stands for each of them."""
    running = ProcessId(os.getpid(), process._start_ticks(os.getpid()) or 0)
    ports = free_ports(2 * len(folders))
    nodes = []
    for each, port, health in zip(folders, ports, ports[len(folders) :], strict=False):
        each.mkdir(exist_ok=True)
        nats_server.write_config(each, port)
        (each / "nats.log").write_text(STARTED)
        if len(folders) > 1:
            with open(each / "nats.conf", "a") as config:
                config.write(f'http: "127.0.0.1:{health}"\n')
        nodes.append(Node(port=port, process=running, health_port=health))
    servers = Servers(nodes=tuple(nodes), s3_port=1, s3_credentials="s3.json", s3_process=running)
    (folder / "servers.json").write_bytes(msgspec.json.encode(servers))
    return servers


async def test_one_server(tmp_path):
    servers = started_in(tmp_path, tmp_path)
    (found,) = await read_own(tmp_path, servers.connection().nats)
    assert (found.sync_always, found.store) == (True, str(tmp_path / "nats"))
    assert found.our_folder == str(tmp_path)
    assert found.answers is True
    assert await read_own(tmp_path, "nats://elsewhere:4222") == []
    assert await read_own(tmp_path / "nowhere", servers.connection().nats) == []


async def test_a_cluster_of_which_nobody_answers_any_more(tmp_path):
    folders = [tmp_path / f"node-{number}" for number in (1, 2, 3)]
    servers = started_in(tmp_path, *folders)
    found = await read_own(tmp_path, servers.connection().nats)
    assert [each.answers for each in found] == [False] * 3
    assert [each.store for each in found] == [str(folder / "nats") for folder in folders]


def test_failed_writes_count_until_the_server_is_started_anew(tmp_path):
    log = tmp_path / "nats.log"
    log.write_text(STARTED + FAILED.format("OLD") + STARTED + 2 * FAILED.format("LOG_demo"))
    assert write_errors(log) == (
        "stream '$G > LOG_demo' critical write error: write 1.blk: no space left on device",
    )
    with open(log, "a") as file:
        file.write(STARTED)
    assert write_errors(log) == ()
