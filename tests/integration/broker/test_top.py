"""`broker top` in a pipe, as a real process over a real server."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.jetstream import NatsBroker
from schemas import names
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.wire import encode
from tests.support import hand_built
from tests.support.terminal import in_terminal

pytestmark = pytest.mark.integration

BROKER = Path(sys.executable).with_name("broker")


@pytest.fixture(scope="module")
def run(nats_url):
    """The hand-built run on the server that all tests share."""

    async def fill() -> None:
        there = await NatsBroker.connect(nats_url, name="test")
        try:
            await hand_built.fill(there)
        finally:
            await there.close()

    asyncio.run(fill())
    return ("top", hand_built.RUN, "--nats", nats_url)


def test_once_in_a_pipe(run):
    command = [str(BROKER), *run, "--sort", "refused"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    head, queue, waiting, title, heading, first, second = result.stdout.splitlines()
    assert head.startswith("step 2 of 200, policy 1-2; reward 0.500; staleness 0.0 in the last")
    assert queue.startswith("queue 1 message, ")
    assert waiting.startswith(
        "the learner waits for the actors: 1 of 2 groups for step 3 are there"
    )
    assert waiting.endswith("; coordinator silent; trainer silent")
    assert title == "Actors of demo"
    assert heading.split()[:2] == ["actor", "state"]
    assert (first.split()[0], second.split()[0]) == ("BOB", "ALICE")
    assert "\x1b" not in result.stdout


async def test_again_and_again_as_json(run, nats_url):
    """One document a line; what is heard meanwhile is in the next one, and nothing is consumed."""
    there = await NatsBroker.connect(nats_url, name="test")
    queue = names.rollouts_stream(hand_built.RUN, "s0")
    before = await there.state(queue)
    process = await asyncio.create_subprocess_exec(
        str(BROKER), *run, "--json", "--watch", "0.2", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = Heartbeat(
        run=hand_built.RUN,
        who="ALICE",
        instance="i",
        state=State.GENERATING,
        policy=PolicyId(1, 2),
        waiting_for="",
    )
    try:
        first = json.loads(await process.stdout.readline())
        await there.notify(names.heartbeat_subject(hand_built.RUN, "ALICE"), encode(said))
        async with asyncio.timeout(20):
            later = first
            while later["actors"][0]["state"] is None:
                later = json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()
        after = await there.state(queue)
        await there.close()
    assert {one["actor"]: one["num_accepted"] for one in first["actors"]} == {"ALICE": 5, "BOB": 2}
    alice = later["actors"][0]
    assert (alice["actor"], alice["state"], alice["policy"]) == ("ALICE", "generating", [1, 2])
    assert (after.num_messages, after.num_pending) == (before.num_messages, before.num_pending)


def test_an_unknown_run_is_one_sentence(run):
    command = [str(BROKER), "top", "dem", *run[2:]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("broker: the server has no run dem")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("end", [b"q", None], ids=["q", "sigterm"])
def test_the_screen_in_a_terminal_gives_it_back(run, end):
    with in_terminal([str(BROKER), *run]) as terminal:
        terminal.until(lambda: "live" in terminal.text and "ALICE" in terminal.text, timeout_s=30)
        if end is None:
            terminal.process.terminate()
        else:
            os.write(terminal.keys, end)
        assert terminal.process.wait(10) == 0
        terminal.reading.join()
        assert "\x1b[?1049l" in terminal.text  # The screen as it was before.
