"""The hand-built run with a bucket that has everything that its logs name."""

import itertools
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from broker.interface import Broker
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from broker.policies.publication import publish_anchor
from broker.policies.signing import sign_announcement
from broker.store import Store
from schemas.ledger import LedgerEntry
from schemas.policy import PolicyId, TensorEntry
from tests.support import hand_built
from tests.support.publisher import PROBE

NUM_POLICIES = 3
REFUSED = 7
"""The sequence of the message of which a sample is kept."""
LARGE = bytes(range(256)) * 40_000
"""In the last policy: about ten megabytes, more than one piece."""


class Site(NamedTuple):
    """A broker and a bucket, in memory."""

    server: MemoryServer
    broker: MemoryBroker
    store: MemoryStore


def empty_site(start: float = hand_built.START) -> Site:
    """With nothing on it; its clock ticks, so that streams are made in an order."""
    seconds = itertools.count(start)
    server = MemoryServer(wall_clock=lambda: float(next(seconds)))
    return Site(server, MemoryBroker(server), MemoryStore())


async def fill(broker: Broker, store: Store, scratch: Path) -> None:
    """Put the run on servers; `scratch` is a folder to work in."""
    manifests = [await _publish(store, scratch, version) for version in range(NUM_POLICIES)]
    log = hand_built.contents()
    log[0] = hand_built.entry(
        replace(hand_built.OPENED, initial_manifest_sha256=manifests[0]),
        hand_built.started("coordinator-1"),
    )
    for index, entry in enumerate(log):
        if isinstance(entry, LedgerEntry):
            events = tuple(map(_with_sample, entry.events))
            log[index] = replace(entry, events=events)
    announced = hand_built.policies()[:2]
    announced += [
        sign_announcement(
            hand_built.KEY,
            run=hand_built.RUN,
            policy=PolicyId(1, version),
            manifest_sha256=sha256,
            instance="trainer-1",
        )
        for version, sha256 in enumerate(manifests)
    ]
    archive = Archive(store, hand_built.RUN)
    for _, data in hand_built.MESSAGES:
        await archive.write([data], term=1)
    await archive.keep_refused(hand_built.MESSAGES[REFUSED - 1][1])
    await hand_built.fill(broker, log, announced)


def _with_sample(event):
    return replace(event, sample_kept=True) if getattr(event, "sequence", 0) == REFUSED else event


async def _publish(store: Store, scratch: Path, version: int) -> str:
    folder = scratch / f"policy-{version}"
    folder.mkdir()
    weights = LARGE if version == NUM_POLICIES - 1 else bytes([version]) * 1000
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "empty.txt").write_bytes(b"")
    return await publish_anchor(
        store,
        hand_built.KEY,
        folder,
        run=hand_built.RUN,
        policy=PolicyId(1, version),
        tensors=[TensorEntry(name="w", dtype="f32", shape=(2,), digest=f"{version:016x}")],
        weights_digest=f"{version:064x}",
        renderer="d" * 64,
        probe=PROBE,
        previous_sha256=None,
    )
