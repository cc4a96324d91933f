"""The benchmarks' table, and that the codec's competitors carry the same values; never speed."""

import random

import msgspec
import pytest
import structlog

from benchmarks import __main__ as command
from benchmarks import broker, codec, queue, swarm
from benchmarks.sides import Turn, at_once
from benchmarks.swarm import Cost
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


def test_a_ratio_of_queues_is_above_one_where_the_first_is_faster():
    pair = queue.Pair("a / b", "a", "b", "0.9", "-", "how")
    turns = {"a": [Turn(1.0, 4.0)] * 3, "b": [Turn(2.0, 2.0)] * 3}
    publish, pull = queue.to_figures(turns, [pair], 1 << 20, 10)
    assert (publish.figure, publish.aim, pull.figure, pull.aim) == (2.0, "0.9", 0.5, "-")
    assert publish.name == "queue: publish of 1024 KiB, a / b"
    assert "10 against 5 MB/s" in publish.how


def test_a_pull_is_bounded_in_messages_and_in_bytes():
    assert [at_once([bytes(size)]) for size in (1 << 10, 1 << 20, 16 << 20)] == [64, 8, 1]


def test_without_redis_its_rows_say_what_to_install(monkeypatch):
    rows = queue._redis_figures({}, 1 << 18, 10)
    assert len(rows) == 4
    assert all(one.figure is None and "apt-get install redis-server" in one.how for one in rows)


def test_a_swarm_is_told_against_the_smallest():
    costs = {10: [Cost(2.0, 1.0, 100.0)], 200: [Cost(4.0, 1.5, 110.0)]}
    rate, cpu, memory, back = swarm.to_figures(costs, [1.0, 3.0, 2.0])
    assert (rate.figure, cpu.figure, memory.figure, back.figure) == (0.5, 1.5, 1.1, 2.0)
    assert back.name == "swarm: 200 contributors back after a kill of the server"


def test_lists_and_our_envelope_carry_the_same_values(monkeypatch):
    monkeypatch.setattr(codec, "VOCABULARY", 1000)
    monkeypatch.setattr(codec, "NUM_TOKENS", 16)
    group = codec.make_group(random.Random(1))
    rows = codec._from_lists(codec._to_lists(group))
    decoded = codec._decode(codec.wire.encode(group))
    assert [(list(ids), list(logprobs)) for ids, logprobs in decoded] == [
        (ids, logprobs) for ids, _, logprobs in rows
    ]


@pytest.fixture
def asked(monkeypatch):
    """What was measured, in its order; nothing is."""
    names: list[str] = []

    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        def measure(self) -> list[Figure]:
            names.append(self.name)
            return FIGURES

    monkeypatch.setattr(command.importlib, "import_module", Part)
    yield names
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("words", "status"), [(["--help"], 0), (["dance"], 2), (["codec", "--output", "/no/x.json"], 2)]
)
def test_what_asks_for_no_benchmark_measures_none(asked, capsys, words, status):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == status
    assert asked == []
    said = capsys.readouterr()
    assert all(name in said.out for name in command._PARTS) or "error: " in said.err


def test_named_benchmarks_leave_the_tracked_table_alone(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_RESULTS", tmp_path / "results.json")
    command.main(["codec", "broker"])
    assert asked == ["benchmarks.broker", "benchmarks.codec"]
    assert list(tmp_path.iterdir()) == []
    command.main(["codec", "--output", str(tmp_path / "mine.json")])
    assert (tmp_path / "mine.json").read_bytes() == to_json(FIGURES)
    assert len(list(tmp_path.iterdir())) == 1


def test_all_benchmarks_write_the_tracked_table(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_RESULTS", tmp_path / "results.json")
    command.main([])
    assert len(asked) == len(command._PARTS)
    assert (tmp_path / "results.json").read_bytes() == to_json(FIGURES * len(asked))
