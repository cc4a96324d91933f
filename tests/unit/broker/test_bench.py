"""What `broker bench` leaves behind, and what it says; never how fast it was."""

import pytest

from broker.bench.deployment import measure
from broker.bench.floor import socket_s
from broker.memory import MemoryBroker, MemoryServer
from schemas.errors import BrokerUnavailable, UserError

FEW = {"num_messages": 20, "num_bytes": 100, "num_replicas": 1}


async def test_messages_go_through_a_stream_that_is_gone_afterwards():
    server = MemoryServer()
    found = await measure(MemoryBroker(server), **FEW)
    assert (found.num_messages, found.num_bytes) == (20, 100)
    for pace in (found.publish, found.fetch, found.round_trip):
        assert 0 < pace.p50_ms <= pace.p99_ms
        assert pace.mb_per_s == pytest.approx(pace.messages_per_s * 100 / 1e6)
    assert server.streams == {}


async def test_the_stream_goes_when_the_measuring_fails(monkeypatch):
    server = MemoryServer()
    broker = MemoryBroker(server)

    async def nothing(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(broker, "pull", nothing)
    with pytest.raises(BrokerUnavailable, match="hands over nothing"):
        await measure(broker, **FEW)
    assert server.streams == {}


async def test_no_stream_is_made_for_messages_that_are_too_large():
    server = MemoryServer(max_message_bytes=99)
    with pytest.raises(UserError, match="99 bytes at most, not of 100"):
        await measure(MemoryBroker(server), **FEW)
    assert server.streams == {}


def test_all_bytes_pass_the_socket():
    assert socket_s([bytes(1000), bytes(3), bytes(1 << 20)]) > 0
