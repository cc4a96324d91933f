"""The benchmarks' table, and the codec's competitors on a tiny size: figures, not speed."""

from benchmarks import codec
from benchmarks.table import missing, of_rounds, to_markdown


def test_a_figure_is_the_median_with_its_range():
    figure = of_rounds([1.9, 2.5, 2.0], name="a", unit="x", aim="2", how="so")
    assert (figure.figure, figure.low, figure.high) == (2.0, 1.9, 2.5)
    assert "| a | 2 x | 1.9 to 2.5 | 2 | so |" in to_markdown([figure])


def test_what_is_missing_says_so():
    assert "not measured" in to_markdown([missing("a", unit="x", aim="2", how="no pyarrow")])


def test_lists_and_our_envelope_carry_the_same_values(monkeypatch):
    import random

    monkeypatch.setattr(codec, "VOCABULARY", 1000)
    monkeypatch.setattr(codec, "NUM_TOKENS", 16)
    group = codec.make_group(random.Random(1))
    rows = codec._from_lists(codec._to_lists(group))
    decoded = codec._decode(codec.wire.encode(group))
    assert [(list(ids), list(logprobs)) for ids, logprobs in decoded] == [
        (ids, logprobs) for ids, _, logprobs in rows
    ]
