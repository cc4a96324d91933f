"""The benchmarks' table, and that the codec's competitors carry the same values; never speed."""

import random

import msgspec
import pytest

from benchmarks import broker, codec
from benchmarks.table import Figure, missing, of_rounds, to_json, to_markdown

FIGURES = [
    of_rounds([1.9, 2.5, 2.0], name="a", unit="x", aim="2", how="so"),
    missing("b", unit="x", aim="above 1", how="pyarrow is not installed"),
]


def test_a_figure_is_the_median_with_its_range():
    assert (FIGURES[0].figure, FIGURES[0].low, FIGURES[0].high) == (2.0, 1.9, 2.5)


def test_the_table_has_a_line_for_each_figure():
    header, rule, *lines = to_markdown(FIGURES).splitlines()
    assert lines == [
        "| a | 2 x | 1.9 to 2.5 | 2 | so |",
        "| b | not measured |  | above 1 | pyarrow is not installed |",
    ]
    assert {line.count("|") for line in (header, rule, *lines)} == {6}


def test_the_json_says_the_same():
    data = to_json(FIGURES)
    assert data.endswith(b"\n")
    assert msgspec.json.decode(data, type=list[Figure]) == FIGURES
    fields = [set(one) for one in msgspec.json.decode(data)]
    assert all({"name", "figure", "aim", "how"} <= one for one in fields)


def test_appends_are_told_by_rate_and_percentile():
    ours = [[0.002] * 98 + [0.01] * 2] * 3
    ratio, rate, p50, p99 = broker.to_figures(ours, [[0.001] * 100] * 3)
    assert ratio.figure == pytest.approx(0.1 / 0.216, abs=1e-3)
    assert rate.figure == pytest.approx(100 / 0.216, abs=1e-3)
    assert (p50.figure, p99.figure) == (2.0, 10.0)


def test_lists_and_our_envelope_carry_the_same_values(monkeypatch):
    monkeypatch.setattr(codec, "VOCABULARY", 1000)
    monkeypatch.setattr(codec, "NUM_TOKENS", 16)
    group = codec.make_group(random.Random(1))
    rows = codec._from_lists(codec._to_lists(group))
    decoded = codec._decode(codec.wire.encode(group))
    assert [(list(ids), list(logprobs)) for ids, logprobs in decoded] == [
        (ids, logprobs) for ids, _, logprobs in rows
    ]
