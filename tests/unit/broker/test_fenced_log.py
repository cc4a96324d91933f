"""Whoever holds a log writes behind what he has seen, and finds out when he does not hold it."""

import pytest

from broker.fenced_log import FencedLog
from broker.interface import StreamKind, StreamSpec
from broker.memory import MemoryBroker, MemoryServer
from schemas.errors import Fenced, LogDamaged

STREAM, OURS, FOREIGN = "LOG", "log.ours", "log.foreign"


class Writer:
    """One process that writes to the log, and what it has folded."""

    def __init__(self, server: MemoryServer) -> None:
        self.folded: list[bytes] = []
        self.log = FencedLog(
            MemoryBroker(server),
            STREAM,
            fold=lambda record: self.folded.append(record.data),
            is_foreign=lambda record: record.subject == FOREIGN,
        )

    async def write(self, data: bytes) -> None:
        await self.log.append(OURS, data)

    async def take_over(self, data: bytes) -> None:
        await self.log.take_over(lambda: self.write(data))


@pytest.fixture
def server():
    return MemoryServer()


@pytest.fixture
async def first(server):
    spec = StreamSpec(name=STREAM, subjects=("log.*",), kind=StreamKind.LOG)
    await MemoryBroker(server).ensure_stream(spec)
    writer = Writer(server)
    await writer.take_over(b"1")
    return writer


def written(server) -> list[bytes]:
    return [record.data for record in server.streams[STREAM].records.values()]


async def stray(server, data: bytes, subject: str = FOREIGN) -> None:
    await MemoryBroker(server).publish(subject, data)


async def test_who_takes_over_folds_what_is_there_and_fences_the_one_before(server, first):
    second = Writer(server)
    await second.take_over(b"2")
    assert second.folded == [b"1"]
    with pytest.raises(Fenced):
        await first.write(b"3")
    with pytest.raises(Fenced):
        await first.log.check_held()
    await second.log.check_held()
    await second.write(b"4")
    assert written(server) == [b"1", b"2", b"4"]


async def test_a_last_word_of_the_one_before_is_folded_too(server, first):
    second = Writer(server)
    last_words = [b"last words"]

    async def write() -> None:
        if last_words:
            await first.write(last_words.pop())
        await second.write(b"2")

    await second.log.take_over(write)
    assert second.folded == [b"1", b"last words"]
    assert written(server) == [b"1", b"last words", b"2"]


async def test_what_no_writer_can_have_written_is_no_fence(server, first):
    await stray(server, b"stray")
    await first.log.check_held()
    await stray(server, b"another")
    await first.write(b"2")
    assert first.folded == [b"stray", b"another"]
    assert written(server) == [b"1", b"stray", b"another", b"2"]
    assert first.log.last_sequence == 4


@pytest.mark.parametrize("stray_comes", ["before", "behind"])
async def test_a_fence_that_stands_among_strays_holds_and_nothing_is_folded(
    server, first, stray_comes
):
    if stray_comes == "before":
        await stray(server, b"stray")
    second = Writer(server)
    await second.take_over(b"2")
    if stray_comes == "behind":
        await stray(server, b"stray")
    for _ in range(2):
        with pytest.raises(Fenced):
            await first.write(b"3")
        with pytest.raises(Fenced):
            await first.log.check_held()
    assert first.folded == []
    assert first.log.last_sequence == 1


async def test_a_write_whose_answer_is_lost_is_written_once(server, first):
    server.lose_answers(1)
    await first.write(b"2")
    await first.write(b"3")
    assert written(server) == [b"1", b"2", b"3"]
    assert first.folded == []


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_log_that_has_lost_a_record_is_nobodys(server, first, lost):
    await first.write(b"2")
    await first.write(b"3")
    del server.streams[STREAM].records[lost]
    with pytest.raises(LogDamaged, match=f"LOG has lost its record {lost}"):
        await Writer(server).take_over(b"4")
    assert server.streams[STREAM].last_sequence == 3


async def test_what_cannot_be_read_behind_a_writer_is_not_passed_over(server, first):
    await stray(server, b"a")
    await stray(server, b"b")
    del server.streams[STREAM].records[3]
    with pytest.raises(LogDamaged):
        await first.write(b"2")
    assert first.folded == []
