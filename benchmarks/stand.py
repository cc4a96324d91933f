"""The servers that a benchmark runs against, started for it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from broker.embedded import servers

_FOLDER = Path("runs")
"""Where runs are kept, hence on a disk: the usual temporary directory may be memory, where a sync
costs nothing."""


@contextlib.contextmanager
def running_servers() -> Iterator[servers.Servers]:
    """A nats-server (sync_interval always) and a SeaweedFS, both empty, gone afterwards."""
    _FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=_FOLDER) as name:
        started = servers.up(Path(name), detached=False)
        try:
            yield started
        finally:
            servers.down(Path(name))
