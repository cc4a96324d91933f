import pytest

from broker.interface import StreamKind, StreamSpec
from broker.look.listing import VerdictCount, list_server
from schemas.errors import UserError
from schemas.policy import PolicyId
from tests.support import hand_built


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
    assert streams["LOG_demo"].max_bytes == -1


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
