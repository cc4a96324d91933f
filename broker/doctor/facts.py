"""What the doctor reads, before anything is judged."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Configuration = Mapping[str, Any]
"""As JetStream's interface spells it: every field, also one that we have never heard of."""


class Greeting(Struct, frozen=True, kw_only=True):
    """What the server that we are connected to says to every client."""

    name: str
    version: str
    max_message_bytes: int
    """Of one message, beside our headers."""
    clock: "Clock | None"
    """None: it does not tell us."""
    max_storage: int = -1
    """Bytes that our account may store; -1: it is not bounded."""
    storage: int = 0
    """Bytes that our account stores."""
    strict: bool | None
    """Whether JetStream refuses requests with fields that it does not know; None: it does not
    answer us."""


class Clock(Struct, frozen=True, kw_only=True):
    """A clock against ours."""

    ahead_s: float
    """Negative: it is behind."""
    error_s: float
    """So far off this figure may be."""


class ServerFacts(Struct, frozen=True, kw_only=True):
    """What a server says about itself to its operator."""

    name: str
    version: str = ""
    """Empty where its configuration was read, and not the server."""
    sync_always: bool
    """What was acknowledged is on the disk."""
    sync_interval_s: float
    """Otherwise so long it may not be."""
    store: str
    """Folder of its streams, on its own machine."""
    max_storage: int | None = None
    """Bytes that it lets streams have; None: not said."""
    storage: int = 0
    """Bytes that they have."""
    write_errors: tuple[str, ...] = ()
    """Of streams that refuse everything since a write has failed."""
    clock: Clock | None = None
    free_bytes: int | None = None
    """Of the disk of `store`; None on another machine."""
    answers: bool = True
    """False: it is one of a cluster, and away. Its files were read."""
    our_folder: str = ""
    """Where `broker up` has started it, if it has."""


class ConsumerFacts(Struct, frozen=True, kw_only=True):
    name: str
    config: Configuration


class ReplicaFacts(Struct, frozen=True, kw_only=True):
    """A follower of a stream's leader."""

    name: str
    current: bool = False
    offline: bool = False


class StreamFacts(Struct, frozen=True, kw_only=True):
    """A stream as it is."""

    name: str
    num_bytes: int
    config: Configuration
    consumers: tuple[ConsumerFacts, ...] = ()
    followers: tuple[ReplicaFacts, ...] = ()
    clock: Clock | None = None
    """Of its leader."""

    @property
    def max_bytes(self) -> int:
        return self.config.get("max_bytes", -1)

    @property
    def in_files(self) -> bool:
        return self.config.get("storage") == "file"

    @property
    def num_replicas(self) -> int:
        return self.config.get("num_replicas", 1)


class StoreFacts(Struct, frozen=True, kw_only=True):
    """What the object storage did with two scratch objects."""

    refuses_second_write: bool
    """Where If-None-Match said so."""
    signature: str
    """Algorithm that a presigned URL names; empty: the first version, or none."""
    status: int
    """Of a GET of the presigned URL."""
    same_bytes: bool
    range_status: int
    """Of a GET of a part of it."""
    forged_status: int
    """Of a GET with another signature."""
    clock: Clock | None


class KeyFile(Struct, frozen=True, kw_only=True):
    """A file that only its owner may read."""

    path: str
    mode: int
    ours: bool
    """Whether its owner is who asks."""
