"""The message broker on NATS JetStream."""

from broker.jetstream.nats_broker import NatsBroker

__all__ = ["NatsBroker"]
