from collections.abc import AsyncGenerator

import pytest

from broker.interface import Record, StreamKind, StreamSpec, StreamState
from broker.look.listing import VerdictCount, list_server
from broker.memory import MemoryBroker
from schemas import names
from schemas.errors import UserError
from schemas.policy import PolicyId
from tests.support import hand_built
from tests.support.runs import SyntheticRun


async def test_runs_are_counted_from_their_log(broker) -> None:
    (run,) = (await list_server(broker)).runs
    assert (run.run, run.policy, run.step, run.num_steps) == ("demo", PolicyId(1, 2), 2, 200)
    assert (run.num_open_leases, run.num_waiting) == (1, 1)
    assert run.verdicts[0] == VerdictCount(verdict="accepted", count=7)
    assert {count.verdict: count.count for count in run.verdicts[1:]} == {
        "rejected(reward-mismatch)": 1,
        "rejected(envelope)": 1,
        "duplicate": 1,
        "late": 1,
        "stale": 1,
    }


async def test_streams_say_what_they_are_for(broker) -> None:
    streams = {stream.name: stream for stream in (await list_server(broker)).streams}
    assert {name: stream.meaning for name, stream in streams.items()} == {
        "LOG_demo": "leases, verdicts, batches",
        "POLICIES_demo": "policies, trainer events",
        "ROLLOUTS_demo_s0": "groups that wait for a verdict",
    }
    queue = streams["ROLLOUTS_demo_s0"]
    assert (queue.num_messages, queue.first_sequence, queue.last_sequence) == (1, 13, 13)
    assert (queue.num_pending, queue.num_in_hand, queue.num_redelivered) == (1, 0, 0)
    assert queue.max_bytes == 1 << 20
    assert queue.last_time is not None
    assert queue.last_time > hand_built.START
    assert queue.first_time == queue.last_time
    assert (queue.num_consumers, queue.lag_groups, queue.lag_versions) == (1, 1, 0)
    log = streams["LOG_demo"]
    assert (log.max_bytes, log.num_consumers, log.lag_groups, log.lag_versions) == (
        -1,
        0,
        None,
        None,
    )
    assert log.first_time is not None
    assert log.last_time is not None
    assert hand_built.START <= log.first_time < log.last_time


async def test_a_queue_lags_by_the_oldest_version_that_waits(broker) -> None:
    """A stranger's subject says anything, a version that will never be too."""
    for subject in (
        "rollouts.demo.s0.1-0.BOB",
        "rollouts.demo.s0.1-999.EVE",
        "rollouts.demo.s0.x.y",
    ):
        await broker.publish(subject, subject.encode())
    queue = (await list_server(broker)).streams[0]
    assert (queue.lag_groups, queue.lag_versions) == (4, 2)


async def test_one_run_among_several(broker) -> None:
    for name in ("LOG_demo_2", "ROLLOUTS_demo_2_s0", "SOMETHING"):
        await broker.ensure_stream(
            StreamSpec(name=name, subjects=(f"{name}.*",), kind=StreamKind.LOG)
        )
    everything = await list_server(broker)
    assert [run.run for run in everything.runs] == ["demo", "demo_2"]
    assert [stream.name for stream in everything.streams] == [
        "ROLLOUTS_demo_s0",
        "LOG_demo",
        "POLICIES_demo",
        "ROLLOUTS_demo_2_s0",
        "LOG_demo_2",
        "SOMETHING",
    ]
    owners = {stream.name: stream.run for stream in everything.streams}
    assert owners["ROLLOUTS_demo_2_s0"] == "demo_2"
    assert owners["SOMETHING"] is None
    other = await list_server(broker, "demo_2")
    assert [run.run for run in other.runs] == ["demo_2"]
    assert [stream.name for stream in other.streams] == ["ROLLOUTS_demo_2_s0", "LOG_demo_2"]
    assert (other.runs[0].policy, other.runs[0].num_steps) == (None, 0)


async def test_an_unknown_run_is_one_sentence(broker) -> None:
    with pytest.raises(UserError, match="the server has no run nope; it has demo"):
        await list_server(broker, "nope")


async def test_looking_changes_nothing(broker) -> None:
    before = [await broker.state(name) for name in await broker.streams()]
    await list_server(broker)
    assert [await broker.state(name) for name in await broker.streams()] == before


class LiveBroker(MemoryBroker):
    """Between any two questions the run goes on by a group, a verdict, a batch and a policy."""

    def __init__(self, run: SyntheticRun) -> None:
        super().__init__(run.broker._server)
        self.run = run

    async def go_on(self) -> None:
        policy = (1, self.run.version - 1)
        subject = names.rollouts_subject("live", "s0", policy, "ALICE")
        await self.run.broker.publish(subject, str(policy).encode())
        group = await self.run.accept("ALICE", [True, False, False, True])
        await self.run.broker.purge("ROLLOUTS_live_s0", before=group.sequence + 1)
        await self.run.cut()
        await self.run.announce()

    async def state(self, stream: str) -> StreamState:
        await self.go_on()
        return await super().state(stream)

    async def get(self, stream: str, sequence: int) -> Record | None:
        await self.go_on()
        return await super().get(stream, sequence)

    async def read(
        self, stream: str, *, first: int = 1, last: int | None = None
    ) -> AsyncGenerator[Record]:
        async for record in super().read(stream, first=first, last=last):
            await self.go_on()
            yield record


async def test_a_run_that_goes_on_meanwhile_is_shown_as_it_can_be() -> None:
    run = SyntheticRun(name="live")
    await run.broker.ensure_stream(
        StreamSpec(
            name="ROLLOUTS_live_s0",
            subjects=(names.rollouts_filter("live", "s0"),),
            kind=StreamKind.QUEUE,
            consumer="intake_s0",
        )
    )
    await run.open()
    broker = LiveBroker(run)
    await broker.go_on()
    listing = await list_server(broker)
    (view,), queue = listing.runs, listing.streams[0]
    assert view.policy is not None
    assert 0 < view.policy.version <= view.step
    # Whatever has left the queue has a verdict.
    assert queue.first_sequence > 1
    assert sum(count.count for count in view.verdicts) >= queue.first_sequence - 1
