"""What a server tells its operator, as its own JSON: `varz` and `healthz`."""

import shutil
from datetime import datetime
from typing import Final

from msgspec import Struct

from broker.doctor.facts import Clock, ServerFacts

_NANO: Final = 1e9


class _JetStreamConfig(Struct, frozen=True):
    max_storage: int = 0
    store_dir: str = ""
    sync_interval: int = 0
    sync_always: bool = False


class _JetStreamStats(Struct, frozen=True):
    storage: int = 0


class _JetStream(Struct, frozen=True):
    config: _JetStreamConfig | None = None
    stats: _JetStreamStats | None = None


class _Cluster(Struct, frozen=True):
    urls: tuple[str, ...] = ()


class Varz(Struct, frozen=True):
    server_name: str
    version: str
    now: datetime
    jetstream: _JetStream = _JetStream()
    cluster: _Cluster = _Cluster()


class _Trouble(Struct, frozen=True):
    error: str = ""


class Healthz(Struct, frozen=True):
    error: str = ""
    errors: tuple[_Trouble, ...] = ()


def server_facts(varz: Varz, health: Healthz, clock: Clock, *, here: bool) -> ServerFacts:
    """What of it matters; `here` says that the server is on this machine."""
    jetstream = varz.jetstream.config or _JetStreamConfig()
    stats = varz.jetstream.stats or _JetStreamStats()
    errors = [health.error, *(trouble.error for trouble in health.errors)]
    return ServerFacts(
        name=varz.server_name,
        version=varz.version,
        sync_always=jetstream.sync_always,
        sync_interval_s=jetstream.sync_interval / _NANO,
        store=jetstream.store_dir,
        max_storage=jetstream.max_storage,
        storage=stats.storage,
        write_errors=tuple(error for error in errors if "write error" in error),
        clock=clock,
        free_bytes=free_bytes(jetstream.store_dir) if here else None,
    )


def free_bytes(folder: str) -> int | None:
    """Free on the disk of a folder of this machine; None when it is not there, or not ours."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
