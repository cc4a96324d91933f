"""The in-memory twins of message broker and object storage, for unit tests and simulations."""

from broker.memory.memory_broker import MemoryBroker
from broker.memory.server import MemoryServer
from broker.memory.store import MemoryStore

__all__ = ["MemoryBroker", "MemoryServer", "MemoryStore"]
