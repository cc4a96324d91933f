"""Subjects, streams and keys: nothing smuggles a separator or a wildcard through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import names, types
from schemas.errors import Rejected

TOKENS = st.from_regex(types.TOKEN_PATTERN, fullmatch=True)
BAD = ("", "a.b", "*", ">", "a b", "a\n", "é", "x" * 65)
NUMBERS = st.integers(0, 999_999_999)


@given(TOKENS, TOKENS, NUMBERS, NUMBERS, TOKENS)
def test_a_rollouts_subject_parses_to_what_it_was_built_from(run, shard, inc, version, actor):
    subject = names.rollouts_subject(run, shard, (inc, version), actor)
    assert names.parse_rollouts_subject(subject) == (run, shard, inc, version, actor)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_token_builds_no_name(bad):
    for build in (
        lambda: names.rollouts_subject(bad, "s0", (1, 0), "A"),
        lambda: names.rollouts_subject("r", bad, (1, 0), "A"),
        lambda: names.rollouts_subject("r", "s0", (1, 0), bad),
        lambda: names.lease_subject("r", bad),
        lambda: names.segment_key("r", bad),
        lambda: names.log_stream(bad),
    ):
        with pytest.raises(ValueError, match="is not a name"):
            build()


@given(st.text(max_size=80))
def test_any_other_subject_is_rejected(text):
    with pytest.raises(Rejected):
        names.parse_rollouts_subject(text)


@pytest.mark.parametrize("version", ["01-0", "1", "1-", "-1", "1-1-1", "1-+1", "1-1e3", "٣-1"])
def test_a_version_has_one_spelling(version):
    with pytest.raises(Rejected):
        names.parse_rollouts_subject(f"rollouts.r.s0.{version}.A")
