import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.interface import Record
from broker.look.peek import Peeked, log_of
from broker.look.peek import peek as peek_at
from broker.look.search import Chosen
from broker.look.sight import Context, Sight, look
from broker.look.views import show_sights
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from broker.streams import run_streams
from schemas.errors import UserError
from schemas.policy import PolicyId
from schemas.rollout import RolloutGroup
from schemas.settings import RunSettings
from schemas.types import MAX_WIRE_BYTES
from schemas.wire import decode, encode, sha256_hex
from tests.support import hand_built

QUEUE = "ROLLOUTS_demo_s0"
CONTEXT = Context(run="demo", announced=PolicyId(1, 5), vocabulary_size=64)


async def peek(broker, run: str, **options) -> list[Sight]:
    """Of a run whose messages wait, or with a storage that has nothing."""
    return (await peek_at(broker, run, **{"open_store": MemoryStore, **options})).sights


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


async def test_last_skips_what_left_the_queue_without_a_verdict(broker) -> None:
    for data in (b"14", b"15", b"16"):
        await broker.publish("rollouts.demo.s0.1-2.BOB", data)
    taken = await broker.pull(QUEUE, "intake_s0", max_messages=3, max_bytes=1 << 20, timeout_s=0)
    await taken[1].ack()
    await taken[2].ack()
    assert [seen.sequence for seen in await peek(broker, "demo", last=2)] == [13, 16]
    assert [seen.sequence for seen in await peek(broker, "demo", last=4)] == [11, 12, 13, 16]
    with pytest.raises(UserError, match=r"message 15 has left .* without a verdict: `broker audit"):
        await peek(broker, "demo", sequence=15)


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
        ({"stream": "s9"}, "run demo has no stream s9; it has LOG, LOG_demo, POLICIES"),
        ({"stream": "LOG_dem"}, "run demo has no stream LOG_dem; the nearest is LOG_demo"),
        ({"sequence": 14}, "ROLLOUTS_demo_s0 has no message 14: its last one was 13"),
        ({"sequence": 99, "stream": "LOG"}, "LOG_demo has no message 99: its last one was"),
        ({"stream": "LOG", "chosen": Chosen(actor="BOB")}, "choose groups, and a log has none"),
        ({"chosen": Chosen(actor="ALISE")}, "by an actor 'ALISE'; the nearest is ALICE"),
        ({"chosen": Chosen(actor="x")}, "by an actor 'x'; there is ALICE and BOB"),
        ({"chosen": Chosen(reason="dupliacte")}, "'dupliacte'; the nearest is duplicate"),
        ({"chosen": Chosen(reason="accepted")}, "refused for 'accepted'; it is cpu-limit, .* or"),
        ({"chosen": Chosen(where="part.parial.max > 1")}, "the nearest is part.partial.max"),
    ],
)
async def test_what_is_not_there_is_one_sentence(broker, options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        await peek(broker, "demo", **options)


async def test_judged_messages_are_read_from_the_archive(broker, store) -> None:
    (seen,) = await peek(broker, "demo", open_store=lambda: store, sequence=9)
    data = hand_built.MESSAGES[8][1]
    assert (seen.place, seen.num_bytes, seen.sha256) == ("archive", len(data), sha256_hex(data))
    assert seen.subject == "rollouts.demo.s0.1-1.ALICE"
    assert seen.verdict is not None
    assert (seen.verdict.verdict, seen.verdict.step, seen.verdict.staleness) == ("accepted", 2, 0)
    assert seen.group is not None
    assert (seen.group.lease_id, seen.group.staleness) == (7, 1)


async def test_a_refused_message_is_read_from_its_sample_if_that_was_kept(store) -> None:
    broker = MemoryBroker(MemoryServer())
    await hand_built.fill(broker, hand_built.with_samples(3, 7))
    for sequence in (3, 7):
        await Archive(store, "demo").keep_refused(hand_built.MESSAGES[sequence - 1][1])

    async def at(sequence: int) -> Sight:
        (seen,) = await peek(broker, "demo", open_store=lambda: store, sequence=sequence)
        return seen

    kept, broken, late = await at(3), await at(7), await at(8)
    assert (kept.place, kept.subject, kept.missing) == ("sample", "", "")
    assert kept.group is not None
    assert kept.group.claimed_rewards == (1.0, 1.0)
    assert kept.verdict is not None
    assert (kept.verdict.reason, kept.verdict.step) == ("reward-mismatch", None)
    assert broken.undecodable is not None
    assert broken.undecodable.reason == "envelope"
    assert (late.place, late.group, late.num_bytes) == ("nowhere", None, None)
    assert late.missing == "the bytes of s0:8 were not kept: it was late, not rejected"
    assert late.verdict is not None
    assert late.verdict.actor == "BOB"


async def test_a_storage_that_is_away_is_asked_once_and_said(broker, store) -> None:
    store.away = True
    seen = await peek(broker, "demo", open_store=lambda: store, last=4)
    assert [each.place for each in seen] == ["nowhere", "nowhere", "nowhere", "queue"]
    assert seen[0].missing == "object storage cannot be read: the object storage is away"
    assert seen[1].missing == "the bytes of s0:11 were not kept: it was stale, not rejected"


async def test_what_the_archive_has_lost_is_said(broker) -> None:
    (seen,) = await peek(broker, "demo", sequence=1)
    assert seen.missing.startswith(
        "what the log says of s0:1 is not in object storage: there is no"
    )


@pytest.mark.parametrize(
    ("chosen", "sequences"),
    [
        (Chosen(actor="ALICE"), [1, 4, 5, 6, 9, 12]),
        (Chosen(actor="AL…"), [1, 4, 5, 6, 9, 12]),
        (Chosen(reason="late"), [8]),
        (Chosen(reason="envelope", actor="BOB"), [7]),
        (Chosen(reason="envelope", actor="ALICE"), []),
        (Chosen(where="verdict == 'accepted' and step == None"), [4, 5, 12]),
        (Chosen(where="reward.mean > 0.5"), [4]),
        (Chosen(where="step == 2 and advantage.max > 0"), [9, 10]),
        (Chosen(where="verdict == 'unjudged' and claimed.max == 1"), [13]),
        (Chosen(where="logprob.min == -0.5"), [1, 2, 4, 5, 9, 10, 12, 13]),
        (Chosen(where="not claimed.mean < 1"), [4]),
        (Chosen(where="engine in ('torch', 'vllm') and lease >= 8"), [10, 12, 13]),
        (Chosen(where="staleness >= 2"), [4, 5]),
        (Chosen(where="part.partial.mean == 0.375 and sampled.min == 2", actor="BOB"), [2, 10]),
        (Chosen(where="reason != None"), [3, 6, 7, 8, 11]),
    ],
)
async def test_messages_are_chosen(broker, store, chosen: Chosen, sequences: list[int]) -> None:
    seen = await peek(broker, "demo", open_store=lambda: store, last=99, chosen=chosen)
    assert [each.sequence for each in seen] == sequences


async def test_who_looks_again_sees_what_is_new(broker, store) -> None:
    log = log_of("demo")
    chosen = Chosen(where="verdict == 'accepted'")
    for sequence in (12, 13):
        (seen,) = await peek(broker, "demo", open_store=lambda: store, log=log, chosen=chosen)
        assert seen.sequence == sequence
        data = hand_built.MESSAGES[12][1]
        segment = await Archive(store, "demo").write([data], term=1)
        event = replace(hand_built.accepted(13, 9, 2), segment=segment.name)
        entry = hand_built.entry(event, instance="coordinator-2")
        if sequence == 12:
            await broker.append("LOG_demo", "ledger.demo", encode(entry), expected_last=11)
    assert seen.place == "archive"


async def test_the_newest_of_those_that_are_chosen(broker, store) -> None:
    chosen = Chosen(where="logprob.min == -0.5 and verdict == 'accepted'")
    seen = await peek(broker, "demo", open_store=lambda: store, last=2, chosen=chosen)
    assert [each.sequence for each in seen] == [10, 12]


async def test_what_a_condition_could_not_look_into_is_counted(broker, store) -> None:
    for where, count in (("logprob.min < -1", 5), ("logprob.min < -1 and step != None", 0)):
        chosen = Chosen(where=where)
        found = await peek_at(broker, "demo", open_store=lambda: store, chosen=chosen)
        assert found == Peeked(sights=[], num_unseen=count)


async def test_of_an_empty_run_nothing_is_seen() -> None:
    broker = MemoryBroker(MemoryServer())
    for spec in run_streams(RunSettings(name="fresh")):
        await broker.ensure_stream(spec)
    assert await peek(broker, "fresh") == []
    with pytest.raises(UserError, match="nothing is by an actor 'BOB'; there is nobody yet"):
        await peek(broker, "fresh", chosen=Chosen(actor="BOB"))


async def test_a_condition_that_the_log_decides_reads_no_bytes(broker, store) -> None:
    store.away = True
    chosen = Chosen(where="reward.max == 0.5 and logprob.min < -1")
    assert await peek(broker, "demo", open_store=lambda: store, chosen=chosen) == []
    chosen = Chosen(where="reward.max == 1 and logprob.min < -1")
    with pytest.raises(UserError, match=r"--where needs the bytes of s0:1[02]; object storage can"):
        await peek(broker, "demo", open_store=lambda: store, chosen=chosen)


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


async def test_hostile_words_of_a_judged_message_are_harmless(store, capsys) -> None:
    hostile = "\x1b[2J\u202e[b]:bomb:\nok"
    group = decode(hand_built.group(2, 0), RolloutGroup)
    data = encode(replace(group, profile=replace(group.profile, version=hostile)))
    log = hand_built.with_samples(3)
    event = replace(log[2].events[2], detail=hostile, sha256=sha256_hex(data))
    log[2] = replace(log[2], events=(*log[2].events[:2], event, *log[2].events[3:]))
    broker = MemoryBroker(MemoryServer())
    await hand_built.fill(broker, log)
    await Archive(store, "demo").keep_refused(data)
    show_sights(await peek(broker, "demo", open_store=lambda: store, sequence=3))
    lines = capsys.readouterr().out.splitlines()
    shown = r"\x1b[2J\u202e\x5bb]\x3abomb:\nok"
    assert f"  verdict   rejected(reward-mismatch): {shown}" in lines
    assert f"  lease     2, of BOB, made by torch {shown}" in lines
    assert all(line.isprintable() for line in lines)


@given(st.binary(max_size=200), st.sampled_from([QUEUE, "LOG_demo", "POLICIES_demo"]))
def test_any_bytes_can_be_looked_at(data: bytes, stream: str) -> None:
    seen = sight(data, stream=stream)
    assert seen.undecodable is not None
