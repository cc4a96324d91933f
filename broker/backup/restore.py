"""Restores a run from a backup onto servers that have nothing of it.

    consumes   a backup that is whole
    produces   objects, streams, records under the sequences that they had, a last entry each
    waits for  nothing

Objects come first, so that nothing is named that is not there. The queues are made before LOG, as
in any run, and begin behind the messages that they had: what had no verdict is lost, and the
audit counts it by RunRestored, the last entry that is written. PoliciesRestored has the trainer go
on in the next incarnation. A restore that was interrupted is simply repeated: objects that are
there are compared, and an append that was made is found made.
"""

import asyncio
import hashlib
import heapq
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from broker import retry
from broker.audit import AuditReport, audit_run
from broker.backup.chunks import KeptRecord
from broker.backup.manifest import File
from broker.backup.objects import AT_ONCE, PIECE_BYTES
from broker.backup.progress import Progress
from broker.backup.records import PATIENCE_S
from broker.backup.vacancy import check_vacant
from broker.backup.whole import Backup, KeptLog, open_backup
from broker.interface import Broker
from broker.objects.write_once import check_write_once
from broker.parallel import for_each
from broker.store import Store
from broker.streams import run_streams
from schemas.errors import BackupDamaged, DigestMismatch, Fenced, ObjectExists, UserError


class RestoreReport(Struct, frozen=True, kw_only=True):
    """What came of it; `broker restore --json` prints it."""

    run: str
    folder: str
    taken: float
    """When the backup was taken, in Unix seconds."""
    log_sequence: int
    """Of the entry in LOG that says that the run was restored."""
    num_objects: int
    num_there: int
    """Of these, how many were there already, left by a restore that was interrupted."""
    num_bytes: int
    """Of the objects that were written."""
    took_s: float
    """Without the audit."""
    audit: AuditReport


async def restore(
    broker: Broker, store: Store, path: Path, progress: Progress, *, num_replicas: int = 1
) -> RestoreReport:
    """Put the run of a backup onto these servers, and audit it.

    `num_replicas` is how many nodes store each stream.

    Raises:
        UserError: the servers have something of the run.
        BackupDamaged: before anything is written.
        BrokerError, StoreError: a server fails; repeat it.
    """
    began = time.monotonic()
    backup = await open_backup(path, progress)
    await check_write_once(store)
    upload = _Upload(store, backup, await check_vacant(broker, store, backup))
    await upload.run(progress)
    await _make_streams(broker, backup, num_replicas)
    await _write_logs(broker, backup, progress)
    took_s = time.monotonic() - began
    return RestoreReport(
        run=backup.run,
        folder=str(path),
        taken=backup.manifest.head.taken,
        log_sequence=backup.log.closing.sequence,
        num_objects=upload.num_objects,
        num_there=upload.num_there,
        num_bytes=upload.num_bytes,
        took_s=took_s,
        audit=await audit_run(broker, backup.run),
    )


class _Upload:
    """Objects on their way into the bucket."""

    def __init__(self, store: Store, backup: Backup, there: set[str]) -> None:
        """`there` are the keys that the bucket holds already."""
        self._store = store
        self._backup = backup
        self._there = there
        self.num_objects = 0
        self.num_there = 0
        self.num_bytes = 0

    async def run(self, progress: Progress) -> None:
        objects = list(self._backup.objects())
        self.num_objects = len(objects)

        async def work(one: tuple[str, File]) -> None:
            await self._put(*one)
            progress.advance(1)

        progress.begin("objects", len(objects))
        await for_each(objects, work, at_once=AT_ONCE)

    async def _put(self, key: str, file: File) -> None:
        path = self._backup.folder.path / file.name
        patient = retry.for_seconds(PATIENCE_S)
        try:
            if key not in self._there:
                await patient(self._store.put_file_once, key, path, sha256=file.sha256)
                self.num_bytes += (await asyncio.to_thread(path.stat)).st_size
                return
        except ObjectExists:
            pass  # Our own write, whose answer was lost, or somebody else's: looked at below.
        except (DigestMismatch, FileNotFoundError) as error:
            raise BackupDamaged(f"the backup was changed while it was read: {error}") from None
        if await self._sha256_there(key) != file.sha256:
            raise UserError(
                f"the bucket holds {key} with other bytes than the backup: restore into another "
                "bucket (the connection's `bucket`)"
            )
        self.num_there += 1

    async def _sha256_there(self, key: str) -> str:
        digest, offset = hashlib.sha256(), 0
        get = retry.for_seconds(PATIENCE_S)
        while True:
            data = await get(self._store.get, key, offset=offset, length=PIECE_BYTES)
            await asyncio.to_thread(digest.update, data)
            offset += len(data)
            if len(data) < PIECE_BYTES:
                return digest.hexdigest()


async def _make_streams(broker: Broker, backup: Backup, num_replicas: int) -> None:
    ends = {end.stream: end.last_sequence for end in backup.manifest.head.queues}
    ensure = retry.for_seconds(PATIENCE_S)
    for spec in run_streams(backup.opened.settings, num_replicas=num_replicas):
        first_sequence = ends.get(spec.name, 0) + 1
        await ensure(broker.ensure_stream, spec, first_sequence=first_sequence)


async def _write_logs(broker: Broker, backup: Backup, progress: Progress) -> None:
    append = retry.for_seconds(PATIENCE_S)
    total = backup.policies.closing.sequence + backup.log.closing.sequence
    progress.begin("records", total)
    for stream, record in _in_order(backup):
        last = record.sequence - 1
        try:
            await append(broker.append, stream, record.subject, record.data, expected_last=last)
        except Fenced:
            raise UserError(
                f"somebody else writes into {stream}: stop coordinators and trainers of this run, "
                "and restore onto other servers"
            ) from None
        progress.advance(1)


def _in_order(backup: Backup) -> Iterator[tuple[str, KeptRecord]]:
    """The records of both logs with their streams, in the order in which they were written.

    So an announcement stands behind the batch that it answers in its new time, too.
    """
    logs = (backup.policies, backup.log)
    yield from heapq.merge(*map(_placed, logs), key=lambda one: one[1].time)
    for log in logs:
        yield log.end.stream, log.closing


def _placed(log: KeptLog) -> Iterator[tuple[str, KeptRecord]]:
    for record in log.records():
        yield log.end.stream, record
