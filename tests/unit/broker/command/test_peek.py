import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.interface import Record
from broker.look.peek import Context, Sight, look, peek
from schemas.errors import UserError
from schemas.policy import PolicyId
from schemas.rollout import RolloutGroup
from schemas.types import MAX_WIRE_BYTES
from schemas.wire import decode, encode, sha256_hex
from tests.support import hand_built

QUEUE = "ROLLOUTS_demo_s0"
CONTEXT = Context(run="demo", announced=PolicyId(1, 5), vocabulary_size=64)


def sight(data: bytes, subject: str = "rollouts.demo.s0.1-2.BOB", stream: str = QUEUE) -> Sight:
    record = Record(stream=stream, sequence=3, subject=subject, data=data, time=1.0)
    return look(record, CONTEXT)


async def test_a_group_is_decoded_with_its_meaning(broker) -> None:
    (seen,) = await peek(broker, "demo")
    data = hand_built.MESSAGES[12][1]
    assert (seen.stream, seen.sequence, seen.subject) == (QUEUE, 13, "rollouts.demo.s0.1-2.BOB")
    assert (seen.num_bytes, seen.sha256) == (len(data), sha256_hex(data))
    assert seen.group is not None
    assert (seen.group.lease_id, seen.group.actor) == (9, "BOB")
    assert (seen.group.policy, seen.group.staleness) == (PolicyId(1, 2), 0)
    assert (seen.group.num_tokens, seen.group.num_sampled) == ((4, 4), (2, 2))
    assert seen.group.claimed_rewards == (1.0, 0.0)
    assert seen.undecodable is None


async def test_never_consumes(broker) -> None:
    await broker.publish("rollouts.demo.s0.1-2.BOB", b"another")
    before = [await broker.state(name) for name in await broker.streams()]
    await peek(broker, "demo", last=10)
    await peek(broker, "demo", stream="s0", sequence=13)
    await peek(broker, "demo", stream="LOG_demo", last=100)
    assert [await broker.state(name) for name in await broker.streams()] == before
    taken = await broker.pull(QUEUE, "intake_s0", max_messages=9, max_bytes=1 << 20, timeout_s=0)
    assert [delivery.record.sequence for delivery in taken] == [13, 14]
    assert (await broker.state(QUEUE)).num_redelivered == 0


async def test_last_skips_what_was_judged_between(broker) -> None:
    for data in (b"14", b"15", b"16"):
        await broker.publish("rollouts.demo.s0.1-2.BOB", data)
    taken = await broker.pull(QUEUE, "intake_s0", max_messages=3, max_bytes=1 << 20, timeout_s=0)
    await taken[1].ack()
    await taken[2].ack()
    assert [seen.sequence for seen in await peek(broker, "demo", last=2)] == [13, 16]
    assert [seen.sequence for seen in await peek(broker, "demo", last=9)] == [13, 16]


async def test_the_logs_can_be_looked_at(broker) -> None:
    (batch,) = await peek(broker, "demo", stream="LOG_demo", sequence=9)
    assert batch.said == "batch of step 2, 2 rows, by coordinator-2"
    (entry,) = await peek(broker, "demo", stream="LOG")
    assert entry.said == "1 GroupAccepted, 1 GroupsDropped, by coordinator-2"
    seen = await peek(broker, "demo", stream="POLICIES_demo", last=4)
    assert [each.said for each in seen] == [
        "IncarnationStarted, by trainer-1",
        "policy 1-0 announced, by trainer-1",
        "policy 1-1 announced, by trainer-1",
        "policy 1-2 announced, by trainer-1",
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stream": "s9"}, "run demo has no stream 's9'; it has ROLLOUTS_demo_s0, LOG_demo"),
        ({"stream": "LOG_other"}, "run demo has no stream 'LOG_other'"),
        ({"sequence": 12}, "12 has left ROLLOUTS_demo_s0: `broker why s0:12 --run demo` says"),
        ({"sequence": 14}, "ROLLOUTS_demo_s0 has no message 14: its last one was 13"),
        ({"sequence": 99, "stream": "LOG"}, "LOG_demo has no message 99: its last one was"),
    ],
)
async def test_what_is_not_there_is_one_sentence(broker, options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        await peek(broker, "demo", **options)


def test_staleness_is_counted_from_the_last_announced_policy() -> None:
    seen = sight(hand_built.group(9, 2))
    assert seen.group is not None
    assert seen.group.staleness == 3


@pytest.mark.parametrize(
    ("version", "words"),
    [("2.13", "torch 2.13"), ("torch 2.13, transformers 5", "torch 2.13, transformers 5")],
)
def test_an_engine_is_named_once(version: str, words: str) -> None:
    group = decode(hand_built.group(9, 2), RolloutGroup)
    seen = sight(encode(replace(group, profile=replace(group.profile, version=version))))
    assert seen.group is not None
    assert seen.group.engine == words


@pytest.mark.parametrize(
    ("data", "subject", "reason"),
    [
        (b"TRIB\x01 no frame", "rollouts.demo.s0.1-2.BOB", "envelope"),
        (b"", "rollouts.demo.s0.1-2.BOB", "envelope"),
        (b"x" * (MAX_WIRE_BYTES + 1), "rollouts.demo.s0.1-2.BOB", "oversize"),
        # As large as the settings may allow a group to be: its bytes are looked at.
        (b"x" * MAX_WIRE_BYTES, "rollouts.demo.s0.1-2.BOB", "envelope"),
        (b"TRIB\x01", "rollouts.demo.s0.BOB", "subject"),
    ],
)
def test_what_does_not_decode_is_shown_with_its_reason(data, subject, reason) -> None:
    seen = sight(data, subject)
    assert seen.group is None
    assert seen.undecodable is not None
    assert seen.undecodable.reason == reason
    assert bytes.fromhex(seen.undecodable.preview) == data[:32]


def test_tokens_outside_the_vocabulary_are_said() -> None:
    seen = sight(hand_built.group(100, 2))
    assert seen.undecodable is not None
    assert seen.undecodable.reason == "tokens"


@given(st.binary(max_size=200), st.sampled_from([QUEUE, "LOG_demo", "POLICIES_demo"]))
def test_any_bytes_can_be_looked_at(data: bytes, stream: str) -> None:
    seen = sight(data, stream=stream)
    assert seen.undecodable is not None
