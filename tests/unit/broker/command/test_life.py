import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.look.identifier import parse_identifier
from broker.look.life import life_in_run, life_of
from broker.look.moments import What
from schemas.errors import UserError
from schemas.wire import sha256_hex
from tests.support import hand_built


@pytest.mark.parametrize(
    ("lease_id", "whats", "last"),
    [
        (0, "asked published judged archived batch published judged policy", "policy 1-1"),
        (2, "asked published judged", "its lease is closed"),
        (3, "asked published judged archived now", "all its rewards are equal"),
        (4, "asked published judged archived dropped", "too old for the batch of step 3"),
        (5, "asked ended published judged", "late: lease 5 was expired"),
        (6, "asked ended", "lease 6 was given back"),
        (8, "asked published judged archived batch policy", "step 2 made policy 1-2, manifest ccc"),
        (9, "asked now", "the lease is open"),
        (10, "asked published judged archived now", "the group waits for a batch"),
    ],
)
async def test_every_way_of_a_lease(broker, lease_id: int, whats: str, last: str) -> None:
    life = await life_in_run(broker, "demo", str(lease_id))
    assert life.lease_id == lease_id
    assert " ".join(moment.what for moment in life.moments) == whats
    assert last in life.moments[-1].text


async def test_the_story_in_words(broker) -> None:
    life = await life_in_run(broker, "demo", "lease-7")
    digest, length = sha256_hex(hand_built.MESSAGES[8][1]), len(hand_built.MESSAGES[8][1])
    assert [moment.text for moment in life.moments] == [
        "lease 7: ALICE is asked for 2 rollouts of reverse task 1007 with seed 7, made with "
        "policy 0-0 or newer, until 2027-01-15 08:01:00.000Z",
        f"message s0:9 by ALICE, sha256 {digest}",
        "accepted: made with policy 1-1; rewards 1 0; partial 0.5 0.25; 8 tokens",
        f"{length} B at offset 0 of archive/demo/1/{digest}",
        "row 1 of 2 in the batch of step 2: staleness 0, advantages +0.5 -0.5",
        f"step 2 made policy 1-2, manifest {'c' * 64}",
    ]
    times = [moment.time for moment in life.moments]
    assert times == [
        hand_built.START + 4,
        None,
        *[hand_built.START + second for second in (7, 7, 8, 15)],
    ]


async def test_the_same_group_by_sequence_and_by_digest(broker) -> None:
    by_lease = await life_in_run(broker, "demo", "7")
    for text in ("s0:9", sha256_hex(hand_built.MESSAGES[8][1])[:12]):
        found = await life_in_run(broker, "demo", text)
        assert (found.lease_id, found.moments) == (7, by_lease.moments)


async def test_a_message_that_does_not_decode_has_a_life_of_its_own(broker) -> None:
    life = await life_in_run(broker, "demo", "s0:7")
    assert life.lease_id is None
    assert [moment.what for moment in life.moments] == [What.PUBLISHED, What.JUDGED]
    assert life.moments[1].text == "rejected(envelope): broken \x1b[31m"


async def test_a_message_without_a_verdict_is_in_the_queue(broker) -> None:
    life = await life_in_run(broker, "demo", "s0:13")
    assert [moment.what for moment in life.moments] == [What.PUBLISHED, What.NOW]
    assert "rollouts.demo.s0.1-2.BOB" in life.moments[0].text
    assert life.moments[0].time is not None


async def test_a_batch_that_is_not_trained_yet_says_so() -> None:
    life = life_of("demo", "7", hand_built.items(hand_built.contents()), [])
    assert life.moments[-1].text == "step 2 is not trained yet"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("11", "nothing in run demo has the id 11; it has leases 0 to 10"),
        ("s0:14", "has the id s0:14; the last judged message of s0 is 12"),
        ("s1:1", "nothing in run demo has the id s1:1; its shards are s0"),
        ("0123456789ab", "nothing in run demo has the id 0123456789ab"),
        ("lease-", "'lease-' is no id"),
        ("abc", "'abc' is no id"),
        ("", "'' is no id"),
    ],
)
async def test_an_unknown_id_is_one_sentence(broker, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        await life_in_run(broker, "demo", text)


def test_digits_are_a_lease_first_and_a_digest_if_there_is_none() -> None:
    identifier = parse_identifier("demo", "12345678")
    assert (identifier.lease_id, identifier.digest) == (12345678, "12345678")
    assert parse_identifier("demo", "1234567").digest == ""


@given(st.text())
def test_any_text_is_an_id_or_a_sentence(text: str) -> None:
    try:
        identifier = parse_identifier("demo", text)
    except UserError:
        return
    assert identifier.lease_id is not None or identifier.place or identifier.digest
