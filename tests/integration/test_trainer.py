"""The trainer as processes: torchrun, real servers, SIGKILL, and a replay of what came of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from broker.jetstream import NatsBroker
from broker.objects.s3 import S3Store
from learner.opening_file import read_opening
from learner.run_folder import RunFolder
from learner.trainer.history import History, read_history
from schemas import names
from schemas.errors import BrokerError
from schemas.ledger import CoordinatorStarted, LedgerEntry
from schemas.policy import PolicyAnnouncement
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings
from schemas.trainer_events import TrainerEntry, TrainerStarted
from schemas.wire import decode
from tests.support.trainers import HandmadeLog, tiny_settings, write_initial

pytestmark = pytest.mark.integration
NUM_STEPS = 6


@pytest.fixture
def settings(nats_url, s3_connection, tmp_path, unique) -> LearnerSettings:
    connection = msgspec.structs.replace(s3_connection, nats=nats_url)
    made = tiny_settings(tmp_path, num_steps=NUM_STEPS, connection=connection)
    made = msgspec.structs.replace(made, name=unique("trainer"))
    write_initial(made, RunFolder(made).initial)
    return made


def learner(
    settings: LearnerSettings, verb: str, *options: str, **variables: str
) -> subprocess.Popen:
    """A verb of the command, in a process of its own, with more environment variables."""
    path = Path(settings.directory) / "given.toml"
    path.write_text(to_toml(settings))
    command = [sys.executable, "-m", "learner", verb, *options, "@", str(path)]
    return subprocess.Popen(
        command,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def ended(process: subprocess.Popen) -> int:
    """Its exit status; what it said is shown if the test fails."""
    out, err = await asyncio.to_thread(process.communicate, timeout=90)
    print(out, err, sep="\n")
    return process.returncode


@asynccontextmanager
async def handmade_log(settings: LearnerSettings):
    broker = await NatsBroker.connect(settings.connection.nats, name="test")
    store = S3Store.open(settings.connection)
    yield broker, HandmadeLog(broker, store, settings)
    await store.close()
    await broker.close()


async def announced(broker, run: str, version: int) -> TrainerStarted:
    """Wait for an announcement; returns the trainer that wrote it."""
    started = None
    async for record in broker.follow(names.policies_stream(run)):
        if record.subject == names.trainer_subject(run):
            event = decode(record.data, TrainerEntry).event
            started = event if isinstance(event, TrainerStarted) else started
        elif decode(record.data, PolicyAnnouncement).policy.version >= version:
            assert started is not None
            return started
    raise AssertionError("the log ended")


def left_running(directory: str) -> str:
    listed = subprocess.run(
        ["pgrep", "-af", directory], capture_output=True, text=True, check=False
    )
    return listed.stdout


def versions(history: History, incarnation: int) -> list[int]:
    return [policy.version for policy in sorted(history.announced) if policy[0] == incarnation]


async def test_a_killed_trainer_goes_on_with_two_ranks_and_all_of_it_can_be_replayed(
    settings: LearnerSettings,
) -> None:
    run = settings.name
    assert await ended(learner(settings, "open")) == 0
    opened = read_opening(RunFolder(settings).opening)
    async with handmade_log(settings) as (broker, log):
        await log.open(opened)
        for _ in range(3):
            await log.cut()
        first = learner(settings, "trainer")
        killed = await announced(broker, run, 2)
        os.kill(killed.pid, signal.SIGKILL)
        assert await ended(first) == -signal.SIGKILL
        for _ in range(3, NUM_STEPS):
            await log.cut()
        two_ranks = learner(settings, "trainer", "--trainer.num_ranks", "2")
        assert await ended(two_ranks) == 0
        history = await read_history(broker, run, opened.run_key)
    assert history.current is not None
    assert (history.current.incarnation, history.current.numerics.world_size) == (2, 2)
    assert versions(history, 2) == list(range(history.current.resumed_from, NUM_STEPS + 1))

    # What the environment says to MKL is no part of the run.
    replayed = learner(settings, "replay", run, "--verify", "--json", MKL_CBWR="COMPATIBLE")
    out, err = await asyncio.to_thread(replayed.communicate, timeout=90)
    print(out, err, sep="\n")
    assert replayed.returncode == 0
    report = json.loads(out)
    assert report["num_equal"] == report["num_announced"] == len(history.announced)


async def coordinators(broker, run: str):
    """Every start of a coordinator that the log tells of."""
    async for record in broker.follow(names.log_stream(run), subject=names.ledger_subject(run)):
        for event in decode(record.data, LedgerEntry).events:
            if isinstance(event, CoordinatorStarted):
                yield event


async def trainers(broker, run: str):
    """Every start of a trainer that the log tells of."""
    async for record in broker.follow(
        names.policies_stream(run), subject=names.trainer_subject(run)
    ):
        event = decode(record.data, TrainerEntry).event
        if isinstance(event, TrainerStarted):
            yield event


async def test_the_launcher_starts_what_is_killed_again_and_leaves_nothing_running(
    settings: LearnerSettings,
) -> None:
    launcher = learner(settings, "run")
    async with handmade_log(settings) as (broker, _):
        for _ in range(100):
            # There is no stream to follow before the run is open.
            with suppress(BrokerError):
                await broker.state(names.log_stream(settings.name))
                break
            await asyncio.sleep(0.2)
        for starts in (trainers(broker, settings.name), coordinators(broker, settings.name)):
            first = await anext(starts)
            os.kill(first.pid, signal.SIGKILL)
            second = await anext(starts)
            assert second.instance != first.instance
            await starts.aclose()
    launcher.terminate()
    out, err = await asyncio.to_thread(launcher.communicate, timeout=60)
    assert (launcher.returncode, out.splitlines()[-1]) == (
        0,
        "learner run: stopped; start it again to go on",
    ), err
    assert not left_running(settings.directory)
