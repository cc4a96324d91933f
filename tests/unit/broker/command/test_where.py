import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.look.fields import Looked, fields
from broker.look.message import Messages
from broker.look.where import MAX_LENGTH, parse
from schemas.errors import UserError
from schemas.rollout import RolloutGroup
from schemas.wire import decode
from tests.support import hand_built

FIELDS = fields(["partial"])
MESSAGES = {
    message.sequence: message
    for message in Messages("demo", hand_built.items(hand_built.contents()))
}


def looked(sequence: int, *, is_read: bool = True) -> Looked:
    data = hand_built.MESSAGES[sequence - 1][1]
    return Looked(
        message=MESSAGES[sequence],
        newest=2,
        now=hand_built.START + 100,
        is_read=is_read,
        num_bytes=len(data) if is_read else None,
        group=decode(data, RolloutGroup) if is_read and sequence not in (7, 11) else None,
    )


def holds(text: str, sequence: int = 9, *, is_read: bool = True) -> bool | None:
    """None: neither it nor its contrary does."""
    seen = looked(sequence, is_read=is_read)
    if parse(text, FIELDS).holds(seen):
        return True
    return False if parse(f"not ({text})", FIELDS).holds(seen) else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lease == 7", True),
        ("lease != 7", False),
        ("0 <= reward.min < reward.max <= 1", True),
        ("0 <= reward.min < reward.mean < 0.5", False),
        ("reward.mean == 0.5 and advantage.min == -0.5", True),
        ("part.partial.max == 0.5 and part.partial.mean == 0.375", True),
        ("claimed.mean == .5 and logprob.mean == -0.375", True),
        ("tokens.max == 4 and sampled.max == 2", True),
        ("step == 2 and staleness == 0 and version == 1", True),
        ("task == 1007 and shard == 's0' and sequence == 9", True),
        ('actor == "ALICE"', True),
        ("actor in ('ALICE', 'BOB') and actor not in ['BOB']", True),
        ("'LIC' in actor and 'X' not in actor", True),
        ("engine == 'torch'", True),
        ("age == 92", True),
        ("verdict == 'accepted'", True),
        ("reason == None and reason is None", True),
        ("step != None and step is not None", True),
        ("not (lease == 7)", False),
        ("lease == 8 or lease == 7", True),
        ("lease == 8 or not lease == 7 and lease == 7", False),
        ("lease in (1, 2, 7)", True),
        ("lease == 7.0", True),
        (" lease\n== 7 ", None),
    ],
)
def test_what_a_condition_says(text: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(UserError, match="cannot be read"):
            holds(text)
    else:
        assert holds(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "step == 2",
        "step != 2",
        "not step == 2",
        "not (step > 0)",
        "step in (1, 2)",
        "step not in (1, 2)",
        "advantage.max > 0 or step < 9",
        "step == 2 and verdict == 'late'",
    ],
)
def test_what_a_message_does_not_have_is_neither_true_nor_false(text: str) -> None:
    assert holds(text, 8) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step == 2 and verdict == 'accepted'", False),
        ("step == 2 or verdict == 'late'", True),
        ("step == None and reason == 'late'", True),
        ("'was expired' in detail", True),
    ],
)
def test_and_what_decides_does_so_beside_it(text: str, expected: bool) -> None:
    assert holds(text, 8) is expected


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("logprob.min < -1", None),
        ("engine == None", None),
        ("logprob.min < -1 and lease == 8", False),
        ("logprob.min < -1 or lease == 7", True),
        ("tokens.max == 4 and bytes > 9 and lease == 7", True),  # In the log, of an accepted one.
    ],
)
def test_bytes_that_are_not_read_yet_are_unknown(text: str, before: bool | None) -> None:
    assert holds(text, is_read=False) is before
    assert parse(text, FIELDS).may_hold(looked(9, is_read=False)) is (before is not False)
    assert holds(text) is not None


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("logprob.min < -1", True),
        ("logprob.min < -1 and reason == 'late'", True),
        ("engine != None and reason == 'late'", True),
        ("logprob.min < -1 and step == 2", False),
        ("not (logprob.min < -1 and step == 2)", True),
        ("not (logprob.min < -1 or step == 2)", False),
        ("logprob.min < -1 and lease == 6", False),
    ],
)
def test_bytes_are_read_only_where_they_can_make_it_true(text: str, may: bool) -> None:
    assert parse(text, FIELDS).may_hold(looked(8, is_read=False)) is may
    assert not parse(text, FIELDS).holds(looked(8, is_read=False))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rewrd.mean > 1", "knows no field rewrd.mean; the nearest is reward.mean"),
        ("part.parial.max > 1", "knows no field part.parial.max; the nearest is part.partial.max"),
        ("reward.avg > 1", "no field reward.avg; there is reward.max, reward.mean and reward.min"),
        ("reward > 1", "reward is several figures; say reward.max, reward.mean or reward.min"),
        (
            "colour == 'red'",
            r"knows no field colour \(text stands in quotes\); there is actor, adv",
        ),
        ("verdict == 'acepted'", "verdict is never 'acepted'; the nearest is accepted"),
        ("'purple' == verdict", "verdict is never 'purple'; it is accepted, duplicate, late, "),
        ("reason in ('tokens', 'schem')", "reason is never 'schem'; the nearest is schema"),
        ("actor > 5", "cannot compare: actor is a text and 5 is a number"),
        ("age == 'old'", "cannot compare: age is a number and 'old' is a text"),
        ("age in (1, 'a')", r"age is a number, and \(1, 'a'\) has something else"),
        ("5 in step", "5 is looked for in a list of such, or in a text"),
        ("actor == ('a', 'b')", "cannot compare: actor is a text and"),
        ("step is 5", "step with == or !=; `is` is for None alone"),
        ("step < None", "compares fields with None, by == or !="),
        ("age > True", "numbers and texts; True is neither"),
        ("age > 1j", "1j is neither"),
        ("actor == b'a'", "b'a' is neither"),
        ("actor == f'{age}'", "f'{age}' is neither"),
        ("age > 9 ** 9 ** 9", r"9 \*\* 9 \*\* 9 is neither"),
        ("age + 1 > 2", r"age \+ 1 is neither"),
        ("actor == [a for a in 'b']", "is neither"),
        ("reward", "comparisons joined by and, or, not; reward is none"),
        ("__import__('os').system('true')", "joined by and, or, not; __import__"),
        ("actor.__class__ == 'a'", "knows no field actor.__class__"),
        ("len(actor) == 5", r"len\(actor\) is neither"),
        ("actor[0] == 'A'", r"actor\[0\] is neither"),
        ("lambda: 1", "lambda: 1 is none"),
        ("(lease := 7) == 7", "is neither"),
        ("lease = 7", "cannot be read at character 7"),
        ("lease ==", "cannot be read at its end"),
        ("", "cannot be read"),
        ("lease == 7\0", "null byte"),
        ("(" * 400 + "lease", "cannot be read"),
        ("not " * 240 + "lease == 7", "more than 32 deep"),
        ("lease == " + "-" * 900 + "7", "is neither"),
        ("lease == 7 or " * 80 + "lease == 7", f"it may have {MAX_LENGTH}"),
    ],
)
def test_what_is_no_condition_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        parse(text, FIELDS)
    assert str(error.value).startswith("--where")


OTHERS = """( ) [ ] { } , : . * @ - = == < in not and or is None 'a' 1 lambda if else f'{"""
WORDS = st.sampled_from([*FIELDS, *OTHERS.split(), "\\", "\n", "\0", "\ud800"])


@given(st.one_of(st.text(max_size=1100), st.lists(WORDS, max_size=12).map(" ".join)))
def test_any_text_is_a_condition_or_a_sentence(text: str) -> None:
    try:
        condition = parse(text, FIELDS)
    except UserError:
        return
    for sequence in MESSAGES:
        for is_read in (True, False):
            seen = looked(sequence, is_read=is_read)
            assert condition.may_hold(seen) >= condition.holds(seen)
