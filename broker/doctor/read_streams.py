"""Reads streams and their consumers whole, with every field of their configuration."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from broker.doctor.facts import Configuration, ConsumerFacts, ReplicaFacts, StreamFacts
from broker.doctor.read_greeting import clock_between
from broker.jetstream import api
from broker.jetstream.connection import NatsConnection
from schemas.errors import BrokerError, PermissionDenied

_NO_STREAM: Final = "(10059)"


class _Counts(Struct, frozen=True):
    bytes: int


class _Cluster(Struct, frozen=True):
    replicas: tuple[ReplicaFacts, ...] = ()


class _StreamInfo(Struct, frozen=True):
    config: Configuration
    state: _Counts
    ts: datetime
    cluster: _Cluster = _Cluster()


class _Consumers(Struct, frozen=True):
    """A page, which is more than a stream of ours has."""

    consumers: tuple[ConsumerFacts, ...] | None = None


async def read_streams(connection: NatsConnection, names: Iterable[str]) -> dict[str, StreamFacts]:
    """Those of the streams that are there, and that this user may ask about.

    Raises:
        BrokerUnavailable: JetStream does not answer.
    """
    found = [await _read_stream(connection, name) for name in names]
    return {each.name: each for each in found if each is not None}


async def _read_stream(connection: NatsConnection, name: str) -> StreamFacts | None:
    asked = time.time()
    try:
        info = await api.call(connection, f"STREAM.INFO.{name}", None, _StreamInfo)
    except PermissionDenied:
        return None
    except BrokerError as error:
        if _NO_STREAM in str(error):
            return None
        raise
    answered = time.time()
    listed = await api.call(connection, f"CONSUMER.LIST.{name}", None, _Consumers)
    return StreamFacts(
        name=name,
        num_bytes=info.state.bytes,
        config=info.config,
        consumers=listed.consumers or (),
        followers=info.cluster.replicas,
        clock=clock_between(asked, info.ts.timestamp(), answered),
    )
