"""Which objects of the bucket a run's logs name. Pure.

| named by | object | known by |
|---|---|---|
| an accepted group, a row of a batch | its segment of the archive | the segment's name |
| a refused message of which a sample is kept | its bytes | its digest |
| RunOpened, an announcement that counts | the policy's manifest | the digest in it |
| a policy | its path manifest | the run's key, which signed it |
| a path manifest | the policy's files | the digests in it |
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from broker.interface import Record
from broker.logbook import PolicyReader, log_item
from schemas import ledger, names
from schemas.batch import Batch
from schemas.policy import FileEntry, PolicyAnnouncement, PolicyId


class Named(NamedTuple):
    """An object and what its bytes must be."""

    key: str
    sha256: str


class NamedPolicy(NamedTuple):
    """A policy and the digest of its manifest."""

    policy: PolicyId
    manifest_sha256: str


class Verdicts:
    """Which messages of each queue have a verdict, or were purged without: one byte each."""

    def __init__(self, ends: Iterable[ledger.QueueEnd]) -> None:
        self._seen = {end.stream: bytearray(end.last_sequence + 1) for end in ends}

    def add(self, event: ledger.LedgerEvent) -> None:
        """Enter what one event says of messages."""
        match event:
            case ledger.GroupAccepted() | ledger.GroupRefused():
                self._mark(event.stream, event.sequence, event.sequence)
            case ledger.MessagesPurged(stream=stream, spans=spans):
                for first, last in spans:
                    self._mark(stream, first, last)
            case ledger.RunRestored(queues=queues):
                # What an earlier restore left behind is counted there.
                for queue in queues:
                    self._mark(queue.stream, 1, queue.last_sequence)
            case _:
                pass

    def _mark(self, stream: str, first: int, last: int) -> None:
        seen = self._seen.get(stream, bytearray())
        for sequence in range(first, min(last + 1, len(seen))):
            seen[sequence] = 1

    @property
    def num_missing(self) -> int:
        """Messages of all queues that have none."""
        return sum(len(seen) - 1 - sum(seen) for seen in self._seen.values())


def named_in_log(run: str, records: Iterable[Record], verdicts: Verdicts) -> Iterator[Named]:
    """Objects that LOG names, each perhaps several times; what is foreign in it names nothing."""
    for record in records:
        content = log_item(run, record).content
        if isinstance(content, Batch):
            yield from (_segment(run, row.segment) for row in content.rows)
        elif isinstance(content, ledger.LedgerEntry):
            for event in content.events:
                verdicts.add(event)
                match event:
                    case ledger.GroupAccepted(segment=segment):
                        yield _segment(run, segment)
                    case ledger.GroupRefused(sample_kept=True, sha256=sha256):
                        yield Named(names.refused_key(run, sha256), sha256)
                    case _:
                        pass


def announced_policies(
    opened: ledger.RunOpened, records: Iterable[Record]
) -> Iterator[NamedPolicy]:
    """The initial policy, and every one that is announced; the initial one perhaps twice."""
    yield NamedPolicy(opened.initial_policy, opened.initial_manifest_sha256)
    reader = PolicyReader(opened.settings.name, opened.run_key)
    for record in records:
        content = reader.read(record).content
        if isinstance(content, PolicyAnnouncement):
            yield NamedPolicy(content.policy, content.manifest_sha256)


def named_file(run: str, file: FileEntry) -> Named:
    """The object of a policy's file."""
    return Named(names.blob_key(run, file.sha256), file.sha256)


def _segment(run: str, segment: str) -> Named:
    return Named(names.segment_key(run, segment), segment.partition("-")[2])
