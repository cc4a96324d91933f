"""Takes a backup of a run, which may go on meanwhile.

    consumes   POLICIES and LOG up to the ends that they had at the beginning; the objects they name
    produces   the folder: records, objects, and last the manifest
    waits for  nothing: whatever the logs name was written before

The ends are read in an order in which each is founded in the next: of POLICIES first, so that the
batch of every policy is in LOG; of the queues last, so that a message with a verdict was stored.
What a queue holds is not in a backup, nor is what the logs name later.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from broker.backup.chunks import Chunk, read_chunks
from broker.backup.folder import LOGS, BackupFolder
from broker.backup.manifest import FORMAT, File, Head, LogEnd, write_manifest
from broker.backup.named import Named, Verdicts, announced_policies, named_in_log
from broker.backup.objects import ObjectCopy
from broker.backup.progress import Progress
from broker.backup.records import LogCopy
from broker.interface import Broker, Record
from broker.inventory import read_inventory
from broker.logbook import opening_of
from broker.parallel import run_in_thread
from broker.store import Store
from schemas import names
from schemas.errors import UserError
from schemas.ledger import QueueEnd, RunOpened


class BackupReport(Struct, frozen=True, kw_only=True):
    """What came of it; `broker backup --json` prints it."""

    run: str
    folder: str
    log_sequence: int
    """Of the last record of LOG that is in it."""
    policies_sequence: int
    """Of POLICIES."""
    num_without_verdict: int
    """Messages that the queues had stored and LOG has no verdict on: they are not in it."""
    num_files: int
    num_bytes: int
    num_fetched: int
    """Objects that the folder did not hold before."""
    num_fetched_bytes: int
    """Of these and of new records."""
    lacking: tuple[str, ...]
    """What the bucket does not hold as the logs name it, in words."""
    manifest_sha256: str
    """Empty where something is lacking: then there is no manifest of this backup."""
    took_s: float

    @property
    def complete(self) -> bool:
        return not self.lacking


async def take_backup(
    broker: Broker, store: Store, run: str, path: Path, progress: Progress
) -> BackupReport:
    """Bring a run's logs and what they name into a folder, which may hold an earlier backup of it.

    Raises:
        UserError: there is no such run, it is not opened yet, or the folder is of something else.
        BrokerError, StoreError: a server fails; what has come in stays.
        OSError: the folder cannot be written.
    """
    folder = BackupFolder(path)
    with folder.held():
        return await _Backup(broker, store, run, folder, progress).take()


class _Backup:
    def __init__(
        self, broker: Broker, store: Store, run: str, folder: BackupFolder, progress: Progress
    ) -> None:
        self._broker = broker
        self._store = store
        self._run = run
        self._folder = folder
        self._progress = progress
        self._began = time.monotonic()

    async def take(self) -> BackupReport:
        taken = time.time()
        ends, queues = await self._read_ends()
        copies = {
            name: LogCopy(self._broker, end.stream, self._folder.log(name))
            for name, end in zip(LOGS, ends, strict=True)
        }
        for name, end in zip(LOGS, ends, strict=True):
            await copies[name].bring(end.last_sequence, self._progress)
        policies, log = (copies[name].chunks for name in LOGS)
        verdicts = Verdicts(queues)
        records = _records(log, names.log_stream(self._run))
        named = await run_in_thread(lambda: set(named_in_log(self._run, records, verdicts)))
        objects = await self._bring_objects(_opened(log, self._run), policies, named)
        files = [*objects.files, *self._chunk_files((*policies, *log))]
        num_fetched_bytes = sum(copy.num_fetched_bytes for copy in copies.values())
        num_bytes = objects.num_bytes + sum(c.path.stat().st_size for c in (*policies, *log))
        head = Head(
            format=FORMAT,
            run=self._run,
            taken=taken,
            logs=ends,
            queues=queues,
            num_files=len(files),
            num_bytes=num_bytes,
        )
        return BackupReport(
            run=self._run,
            folder=str(self._folder.path),
            log_sequence=ends[1].last_sequence,
            policies_sequence=ends[0].last_sequence,
            num_without_verdict=verdicts.num_missing,
            num_files=len(files),
            num_bytes=num_bytes,
            num_fetched=objects.num_fetched,
            num_fetched_bytes=objects.num_fetched_bytes + num_fetched_bytes,
            lacking=tuple(objects.damaged),
            manifest_sha256=""
            if objects.damaged
            else write_manifest(self._folder.manifest, head, files),
            took_s=time.monotonic() - self._began,
        )

    async def _read_ends(self) -> tuple[tuple[LogEnd, LogEnd], tuple[QueueEnd, ...]]:
        inventory = await read_inventory(self._broker)
        inventory.require(self._run)
        policies = await self._end(names.policies_stream(self._run))
        log = await self._end(names.log_stream(self._run))
        if log.last_sequence == 0:
            raise UserError(f"run {self._run} has no entry in its log yet: nothing to back up")
        queues = []
        for stream in inventory.queues(self._run):
            state = await self._broker.state(stream)
            queues.append(QueueEnd(stream=stream, last_sequence=state.last_sequence))
        return (policies, log), tuple(queues)

    async def _end(self, stream: str) -> LogEnd:
        state = await self._broker.state(stream)
        return LogEnd(stream=stream, created=state.created, last_sequence=state.last_sequence)

    async def _bring_objects(
        self, opened: RunOpened, policies: list[Chunk], named: set[Named]
    ) -> ObjectCopy:
        objects = ObjectCopy(self._store, self._run, opened.run_key, self._folder)
        records = _records(policies, names.policies_stream(self._run))
        announced = set(announced_policies(opened, records))
        self._progress.begin("policies", len(announced))
        named |= await objects.bring_policies(announced, self._progress)
        self._progress.begin("objects", len(named))
        # In the order of their keys, so that an interrupted backup can be told to be half done.
        await objects.bring(sorted(named), self._progress)
        return objects

    def _chunk_files(self, chunks: Iterable[Chunk]) -> Iterator[File]:
        for chunk in chunks:
            yield File(name=self._folder.name(chunk.path), sha256=chunk.sha256)


def _records(chunks: list[Chunk], stream: str) -> Iterator[Record]:
    return (kept.as_record(stream) for kept in read_chunks(chunks))


def _opened(log: list[Chunk], run: str) -> RunOpened:
    return opening_of(next(_records(log, names.log_stream(run))))
