"""Reads a backup, and checks that it is whole before anything of it is believed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from broker.backup.chunks import Chunk, KeptRecord, chunks_of, read_chunks
from broker.backup.closing import close_log, close_policies
from broker.backup.folder import LOGS, OBJECTS, BackupFolder, sha256_of
from broker.backup.manifest import File, LogEnd, Manifest, read_manifest
from broker.backup.progress import Progress
from broker.interface import Record
from broker.logbook import opening_of
from broker.parallel import for_each, run_in_thread
from schemas import names
from schemas.errors import BackupDamaged, BrokerError
from schemas.ledger import RunOpened

_AT_ONCE: Final = 4
_MAX_NAMED: Final = 10


class KeptLog(NamedTuple):
    """One of the two logs in a backup."""

    end: LogEnd
    chunks: list[Chunk]
    closing: KeptRecord
    """What a restore writes behind it."""

    def records(self) -> Iterator[KeptRecord]:
        return read_chunks(self.chunks)


class Backup(NamedTuple):
    """A backup that is whole."""

    folder: BackupFolder
    manifest: Manifest
    policies: KeptLog
    log: KeptLog
    opened: RunOpened

    @property
    def run(self) -> str:
        return self.manifest.head.run

    def objects(self) -> Iterator[tuple[str, File]]:
        """The key of each object, and its file."""
        for file in self.manifest.files:
            room, _, key = file.name.partition("/")
            if room == OBJECTS:
                yield key, file


async def open_backup(path: Path, progress: Progress) -> Backup:
    """Read every byte of a backup.

    Raises:
        UserError: there is none.
        BackupDamaged: a file is missing or has other bytes, or the logs are not whole.
    """
    folder = BackupFolder(path)
    manifest = await run_in_thread(read_manifest, folder.manifest)
    await _check_files(folder, manifest.files, progress)
    closings = (close_policies(manifest), close_log(manifest))
    policies, log = (
        KeptLog(end, _chunks(folder, name, manifest.files), closing)
        for name, end, closing in zip(LOGS, manifest.head.logs, closings, strict=True)
    )
    for kept in (policies, log):
        await run_in_thread(_check_log, folder, kept)
    return Backup(folder, manifest, policies, log, _opened(log, folder, manifest.head.run))


async def _check_files(folder: BackupFolder, files: list[File], progress: Progress) -> None:
    wrong: list[str] = []

    async def check(file: File) -> None:
        found = await run_in_thread(sha256_of, folder.path / file.name)
        if found != file.sha256:
            wrong.append(f"{file.name} {'has other bytes' if found else 'is missing'}")
        progress.advance(1)

    progress.begin("files to check", len(files))
    await for_each(files, check, at_once=_AT_ONCE)
    if wrong:
        named = "; ".join(sorted(wrong)[:_MAX_NAMED])
        more = f"; and {len(wrong) - _MAX_NAMED} more" if len(wrong) > _MAX_NAMED else ""
        raise BackupDamaged(f"the backup in {folder.path} is damaged: {named}{more}")


def _chunks(folder: BackupFolder, name: str, files: list[File]) -> list[Chunk]:
    rooms = (file.name.partition("/") for file in files)
    return chunks_of(folder.log(name), [rest for room, _, rest in rooms if room == name])


def _check_log(folder: BackupFolder, log: KeptLog) -> None:
    last = 0
    for record in log.records():
        last = record.sequence
    if last != log.end.last_sequence:
        raise BackupDamaged(
            f"the backup in {folder.path} is damaged: {log.end.stream} is said to end at "
            f"{log.end.last_sequence} and ends at {last}"
        )


def _opened(log: KeptLog, folder: BackupFolder, run: str) -> RunOpened:
    first: Record | None = next(
        (record.as_record(names.log_stream(run)) for record in log.records()), None
    )
    try:
        opened = opening_of(first) if first else None
    except BrokerError:
        opened = None
    if opened is None or opened.settings.name != run:
        raise BackupDamaged(f"LOG in {folder.path} does not open the run {run}")
    return opened
