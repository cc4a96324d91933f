"""A run whose servers are lost: restored from its backup onto others, audited, replayed, gone on
with."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from broker.audit import AuditReport, audit_run
from broker.backup.progress import Silence
from broker.backup.take import take_backup
from broker.embedded import servers
from broker.interface import Broker
from broker.jetstream import NatsBroker
from broker.objects.s3 import S3Store
from learner.trainer.portal import Portal
from schemas import names
from schemas.errors import NoResponders
from schemas.lease import LeaseReply, LeaseRequest
from schemas.policy import PolicyAnnouncement, PolicyId
from schemas.resolve import to_toml
from schemas.settings import Connection
from schemas.wire import decode, encode
from tests.support.groups import PROFILE
from tests.support.trainers import GROUPS_PER_BATCH, TinyRun

pytestmark = pytest.mark.integration
NUM_STEPS, NUM_CUT, TRAINED = 8, 3, 2


@pytest.fixture
def run(tmp_path) -> Iterator[TinyRun]:
    """A run in memory in the middle of its steps; one message has no verdict yet."""
    with Portal() as portal:
        run = TinyRun(portal, tmp_path, num_steps=NUM_STEPS)
        run.log.whole = True
        portal.call(run.log.open(run.opened))
        for _ in range(NUM_CUT):
            portal.call(run.log.cut())
        run.train(until=TRAINED)
        subject = names.rollouts_subject(run.settings.name, "s0", PolicyId(1, 0), "ALICE")
        portal.call(run.broker.publish(subject, b"not judged yet"))
        yield run


@pytest.fixture
def directory(tmp_path) -> Iterator[object]:
    """Of other servers."""
    directory = tmp_path / "servers"
    servers.up(directory, detached=False)
    yield directory
    servers.down(directory)


def command(program: str, *words: object) -> list[str]:
    return [sys.executable, "-P", "-m", program, *map(str, words)]


def answer(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command(program, *words), capture_output=True, text=True, timeout=90, check=False
    )
    print(result.stdout, result.stderr, sep="\n")
    return result


@contextmanager
def daemon(program: str, *words: object) -> Iterator[None]:
    process = subprocess.Popen(command(program, *words))
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_a_run_whose_servers_are_lost_goes_on(run: TinyRun, directory, tmp_path) -> None:
    folder, name = tmp_path / "backup", run.settings.name
    kept = run.portal.call(take_backup(run.broker, run.store, name, folder, Silence()))
    assert (kept.complete, kept.num_without_verdict) == (True, 1)
    assert kept.policies_sequence >= 3 + TRAINED

    restored = answer("broker", "restore", folder, "--servers", directory, "--json")
    assert restored.returncode == 0
    audit = json.loads(restored.stdout)["audit"]
    assert (audit["holds"], audit["num_lost_at_restores"]) == (True, 1)
    connection = servers.read(directory).connection()
    assert asyncio.run(_audit(connection, name)).num_groups_hashed == NUM_CUT * GROUPS_PER_BATCH
    settings = tmp_path / "run.toml"
    settings.write_text(to_toml(msgspec.structs.replace(run.settings, connection=connection)))
    replay = json.loads(answer("learner", "replay", name, "--json", "@", settings).stdout)
    assert replay["num_equal"] == replay["num_announced"] >= TRAINED + 1

    with (
        daemon("learner", "coordinator", "@", settings),
        daemon("learner", "trainer", "@", settings),
    ):
        asyncio.run(_goes_on(connection.nats, name))
    asyncio.run(_audit(connection, name))


async def _audit(connection: Connection, run: str) -> AuditReport:
    """What holds down to the bytes, with what was lost."""
    broker = await NatsBroker.connect(connection.nats, name="test")
    store = S3Store.open(connection)
    report = await audit_run(broker, run, store=store)
    await store.close()
    await broker.close()
    assert report.violations == ()
    assert report.num_lost_at_restores == 1
    return report


async def _goes_on(nats: str, run: str) -> None:
    """The trainer makes policies of the next incarnation; the coordinator gives leases for them."""
    broker = await NatsBroker.connect(nats, name="test")
    async for record in broker.follow(
        names.policies_stream(run), subject=names.policy_subject(run)
    ):
        policy = decode(record.data, PolicyAnnouncement).policy
        if policy == PolicyId(2, NUM_CUT):
            break
        assert policy.incarnation == 1 or policy.version >= TRAINED
    reply = await _ask(broker, run)
    assert [lease.lease_id for lease in reply.leases] == [(NUM_CUT + 1) * GROUPS_PER_BATCH]
    assert reply.announcement is not None
    assert reply.announcement.policy == PolicyId(2, NUM_CUT)
    await broker.close()


async def _ask(broker: Broker, run: str) -> LeaseReply:
    request = LeaseRequest(
        run=run,
        actor="ALICE",
        request_id="first",
        instance="alice-2",
        wanted=1,
        held=None,
        profile=PROFILE,
    )
    end = time.monotonic() + 60
    while True:
        try:
            data = await broker.request(
                names.lease_subject(run, "ALICE"), encode(request), timeout_s=60
            )
        except NoResponders:
            assert time.monotonic() < end, "the coordinator does not come"
            await asyncio.sleep(0.2)
            continue
        return decode(data, LeaseReply)
