"""What the server tells of its streams and their consumers. Nothing here changes anything."""

from msgspec.structs import replace

from broker.interface import ConsumerState, StreamSpec, StreamState
from broker.jetstream import api, config
from broker.jetstream.connection import NatsConnection


async def stream_names(connection: NatsConnection) -> list[str]:
    """Of all streams, sorted."""
    names: set[str] = set()
    while True:
        request = api.NamesRequest(offset=len(names))
        page = await api.call(connection, "STREAM.NAMES", request, api.StreamNames)
        names.update(page.streams or ())
        if not page.streams or len(names) >= page.total:
            return sorted(names)


async def state(connection: NatsConnection, stream: str) -> StreamState:
    """See `broker.interface.Broker.state`."""
    info = await api.call(connection, f"STREAM.INFO.{stream}", None, api.StreamInfo)
    counts = info.state
    state = StreamState(
        name=stream,
        created=info.created.timestamp(),
        num_messages=counts.messages,
        num_bytes=counts.bytes,
        first_sequence=counts.first_seq if counts.messages else counts.last_seq + 1,
        last_sequence=counts.last_seq,
        max_bytes=info.config.max_bytes,
        first_time=counts.first_ts.timestamp() if counts.messages else None,
        last_time=counts.last_ts.timestamp() if counts.last_seq else None,
        num_consumers=counts.consumer_count,
    )
    if info.config.retention != "workqueue":
        return state
    for consumer in await _durable(connection, stream):
        return replace(
            state,
            num_pending=consumer.num_pending,
            num_ack_pending=consumer.num_ack_pending,
            num_redelivered=consumer.num_redelivered,
        )
    return state


async def spec(connection: NatsConnection, stream: str) -> StreamSpec:
    """See `broker.interface.Broker.spec`."""
    info = await api.call(connection, f"STREAM.INFO.{stream}", None, api.StreamInfo)
    durable = await _durable(connection, stream)
    return config.spec_of(info.config, durable[0].config if durable else None)


async def subjects(connection: NatsConnection, stream: str, pattern: str) -> dict[str, int]:
    """See `broker.interface.Broker.subjects`."""
    counts: dict[str, int] = {}
    while True:
        request = api.InfoRequest(subjects_filter=pattern, offset=len(counts))
        page = await api.call(connection, f"STREAM.INFO.{stream}", request, api.StreamInfo)
        counts.update(page.state.subjects or {})
        if not page.state.subjects or len(counts) >= page.total:
            return dict(sorted(counts.items()))


async def consumers(connection: NatsConnection, stream: str) -> list[ConsumerState]:
    """See `broker.interface.Broker.consumers`."""
    return [
        ConsumerState(
            stream=stream,
            name=consumer.name,
            num_pending=consumer.num_pending,
            num_ack_pending=consumer.num_ack_pending,
            num_redelivered=consumer.num_redelivered,
            delivered_to=consumer.delivered.stream_seq,
            ack_floor=consumer.ack_floor.stream_seq,
            max_ack_pending=consumer.config.max_ack_pending,
            ack_wait_s=consumer.config.ack_wait / 1e9,
        )
        for consumer in await _durable(connection, stream)
    ]


async def _durable(connection: NatsConnection, stream: str) -> list[api.ConsumerInfo]:
    listed = await api.call(connection, f"CONSUMER.LIST.{stream}", None, api.ConsumerList)
    return [consumer for consumer in listed.consumers if consumer.config.durable_name]
