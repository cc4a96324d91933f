"""`--watch`: one question again and again, on a terminal, in a pipe and for programs."""

import asyncio
import io
import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from broker.audit import audit_run
from broker.look import views
from broker.look.listing import Listing, list_server
from broker.look.read_on import LogFold, RunLogs
from broker.memory import MemoryBroker, MemoryServer
from broker.program.page import InPlace, Lines, OneByOne, page
from broker.tally import Tally
from broker.verbs.looking import Looking, Where, again, look
from broker.verbs.options import Watch
from schemas.errors import StoreUnavailable, UserError
from tests.support import hand_built


class Notes:
    """A page that notes what it is told, and ends the watch after so many entries."""

    def __init__(self, enough: int) -> None:
        self.told: list[object] = []
        self._enough = enough

    def answer(self, value: object) -> None:
        self._note(value)

    def away(self, sentence: str) -> None:
        self._note(sentence)

    def _note(self, what: object) -> None:
        self.told.append(what)
        if len(self.told) == self._enough:
            raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ([], None),
        (["--watch"], 2.0),
        (["--watch", "0.5"], 0.5),
        (["--watch=3"], 3.0),
        (["--watch", "demo"], 2.0),
        (["--watch", "--json"], 2.0),
        (["demo", "--watch"], 2.0),
        (["--watch", "7", "demo"], 7.0),
    ],
)
def test_the_number_of_seconds_may_be_left_out(words: list[str], seconds: float | None) -> None:
    app = typer.Typer()

    @app.command(cls=Looking)
    def ls(run: str = typer.Argument(""), json: bool = False, watch: Watch = None) -> None:
        typer.echo(repr((run, json, watch)))

    shown = CliRunner().invoke(app, words)
    assert shown.output.strip() == repr(("demo" * ("demo" in words), "--json" in words, seconds))


@pytest.mark.parametrize("words", [["--watch", "0"], ["--watch=often"]])
def test_what_is_no_time_is_refused(words: list[str]) -> None:
    app = typer.Typer()

    @app.command(cls=Looking)
    def ls(watch: Watch = None) -> None: ...

    assert CliRunner().invoke(app, words).exit_code == 2


async def test_a_server_that_goes_away_is_said_and_waited_for(server, broker) -> None:
    notes = Notes(4)

    async def question() -> int:
        if len(notes.told) == 1:
            server.stop()
        if len(notes.told) == 3:
            server.start()
        return len(await broker.streams())

    with pytest.raises(asyncio.CancelledError):
        await again(question, notes, every_s=0, broker=broker)
    assert notes.told[0] == notes.told[3] == 3
    assert notes.told[1:3] == ["the server is away", "the connection to the server is lost"]


async def test_a_storage_that_goes_away_is_waited_for_and_a_mistake_is_not() -> None:
    async def away() -> None:
        raise StoreUnavailable("no answer")

    async def mistake() -> None:
        raise UserError("there is no such run")

    notes = Notes(2)
    with pytest.raises(asyncio.CancelledError):
        await again(away, notes, every_s=0)
    assert notes.told == ["no answer", "no answer"]
    with pytest.raises(UserError, match="no such run"):
        await again(mistake, notes, every_s=0)


def test_all_is_asked_over_one_connection_that_is_closed_in_the_end(
    monkeypatch, tmp_path, capsys
) -> None:
    opened: list[MemoryBroker] = []
    asked: list[MemoryBroker] = []

    async def login(*args: object, **options: object) -> MemoryBroker:
        opened.append(MemoryBroker(MemoryServer()))
        return opened[-1]

    async def question(broker: MemoryBroker) -> Listing:
        asked.append(broker)
        if len(asked) == 4:
            raise UserError("enough")
        return Listing(runs=(), streams=())

    monkeypatch.setattr("broker.login.login", login)
    where = Where("nats://127.0.0.1:1", "", tmp_path)
    with pytest.raises(UserError, match="enough"):
        look(where, question, views.show_listing, json=True, watch=0.001)
    (one,) = opened
    assert asked == [one] * 4
    assert not one.connected
    assert capsys.readouterr().out.count("\n") == 3


def test_programs_get_a_document_on_each_line(capsys) -> None:
    with Lines() as lines:
        lines.answer(Listing(runs=(), streams=()))
        for _ in range(2):
            lines.away("the \x1b[31mserver is away")
        lines.answer(Listing(runs=(), streams=()))
    out, err = capsys.readouterr()
    nothing = {"runs": [], "streams": [], "unseen": []}
    assert [json.loads(line) for line in out.splitlines()] == [nothing] * 2
    first, last = err.splitlines()
    assert first.endswith(r"the \x1b[31mserver is away; waiting for it")
    assert last.endswith("there are answers again")


def test_a_pipe_gets_each_answer_behind_its_time(capsys) -> None:
    with OneByOne(print) as shown:
        shown.answer("one")
        shown.answer("two")
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1], lines[4]) == ("one", "two")
    assert lines[0].endswith("Z")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_on_a_terminal_an_answer_takes_the_place_of_the_one_before(
    monkeypatch, broker
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "200")
    listing = await list_server(broker)
    shown = page(views.show_listing, json=False, every_s=2)
    assert isinstance(shown, InPlace)
    with shown:
        shown.answer(listing)
        before = len(screen.getvalue())
        shown.away("the \u202eserver is away")
    text = screen.getvalue()
    assert "again every 2 s until Ctrl-C" in text[:before]
    assert r"the \u202eserver is away; waiting for it" in text[before:]
    # The last answer stays below, drawn over where it stood: up, and each line erased.
    assert "ROLLOUTS_demo_s0" in text[before:]
    assert text[before:].count("\x1b[1A\x1b[2K") > 10
    assert text.endswith("\x1b[?25h")


class CountingBroker(MemoryBroker):
    """Counts the records that it reads out."""

    num_read = 0

    async def read(self, stream, *, first=1, last=None):
        async for record in super().read(stream, first=first, last=last):
            self.num_read += 1
            yield record


async def test_a_second_look_reads_only_what_is_new() -> None:
    server = MemoryServer()
    broker = CountingBroker(server)
    await hand_built.fill(broker)
    known: dict[str, RunLogs] = {}
    first = await list_server(broker, "demo", known)
    once = broker.num_read
    assert (await list_server(broker, "demo", known)).runs == first.runs
    assert broker.num_read == once
    log = server.streams["LOG_demo"]
    await broker.append("LOG_demo", "ledger.demo", b"junk", expected_last=log.last_sequence)
    assert (await list_server(broker, "demo", known)).runs == first.runs
    assert broker.num_read == once + 1


async def test_a_log_that_was_made_again_is_read_from_its_beginning() -> None:
    server = MemoryServer()
    broker = MemoryBroker(server)
    await hand_built.fill(broker)
    known: dict[str, RunLogs] = {}
    before = await list_server(broker, "demo", known)
    server.streams.clear()
    await hand_built.fill(broker)
    assert (await list_server(broker, "demo", known)).runs == before.runs


async def test_an_audit_that_is_repeated_reads_only_what_is_new(broker, monkeypatch) -> None:
    firsts: list[int] = []
    read = broker.read

    def noted(stream: str, **where: int):
        firsts.append(where["first"])
        return read(stream, **where)

    monkeypatch.setattr(broker, "read", noted)
    known = LogFold("demo", Tally)
    report = await audit_run(broker, "demo", known=known)
    end = (await broker.state("LOG_demo")).last_sequence
    assert firsts == [1, end + 1]
    assert await audit_run(broker, "demo", known=known) == report
    assert firsts[2:] == [end + 1] * 2
    assert await audit_run(broker, "demo") == report
