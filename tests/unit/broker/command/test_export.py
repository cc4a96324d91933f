"""`broker export`: rows that say what the log and the bytes say, in files that are whole."""

import errno
import gc
import io
import json
import sys

import pytest

from broker.backup.progress import Silence
from broker.export.jsonl import JsonLines
from broker.export.parquet import Parquet
from broker.export.selection import Leases, Steps, parse_range
from broker.export.writing import Exported, LeftOut
from broker.export.writing import export as write
from broker.look.views import show_exported
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from environments import characters
from schemas.errors import ObjectMissing, StoreUnavailable, UserError
from schemas.wire import sha256_hex
from tests.support import hand_built


async def export(broker, text: str, path, store, *, rows_in=JsonLines, spell=None) -> Exported:
    return await write(
        broker,
        "demo",
        text,
        path,
        rows_in=rows_in,
        open_store=lambda: store,
        find_speller=lambda _: spell,
        progress=Silence(),
    )


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


async def test_a_row_says_all_of_a_rollout(broker, store, tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    done = await export(
        broker, "7", path, store, spell=lambda token_id: characters.decode((token_id,))
    )
    assert (done.num_groups, done.num_rows, done.left_out) == (1, 2, ())
    assert (done.path, done.num_bytes) == (str(path), path.stat().st_size)
    assert list(tmp_path.iterdir()) == [path]
    first, second = lines(path)
    assert first == {
        "run": "demo",
        "step": 2,
        "row": 0,
        "lease_id": 7,
        "environment": "reverse",
        "task": 1007,
        "seed": 7,
        "shard": "s0",
        "sequence": 9,
        "sha256": sha256_hex(hand_built.MESSAGES[8][1]),
        "time": hand_built.START + 7,
        "actor": "ALICE",
        "engine": "torch",
        "engine_version": "2.13",
        "dtype": "f32",
        "track": "f32",
        "verdict": "accepted",
        "reason": "",
        "detail": "",
        "incarnation": 1,
        "version": 1,
        "staleness": 0,
        "rollout": 0,
        "num_rollouts": 2,
        "reward": 1.0,
        "claimed_reward": 1.0,
        "advantage": 0.5,
        "parts": [{"name": "partial", "value": 0.5}],
        "finish": "stop",
        "token_ids": [5, 6, 14, 2],
        "loss_mask": [0, 0, 1, 1],
        "logprobs": [-0.5, -0.25],
        "spans": [{"num_tokens": 2, "incarnation": 1, "version": 1}],
        "prompt": "<reply>a",
        "completion": "i<stop>",
    }
    assert (second["rollout"], second["reward"], second["advantage"]) == (1, 0.0, -0.5)


@pytest.mark.parametrize(
    ("text", "sequences"),
    [
        ("1..2", [1, 2, 9, 10]),
        ("..1", [1, 2]),
        ("2..", [9, 10]),
        ("lease-7..8", [9, 10]),
        ("lease-7..lease-8", [9, 10]),
        ("s0:5", [5]),
        ("s0:13", [13]),
    ],
)
async def test_what_is_meant(broker, store, tmp_path, text: str, sequences: list[int]) -> None:
    done = await export(broker, text, tmp_path / "rows", store)
    assert [row["sequence"] for row in lines(tmp_path / "rows")][::2] == sequences
    assert done.num_groups == len(sequences)


async def test_what_has_no_rows_is_counted_by_what_it_lacks(store, tmp_path, capsys) -> None:
    broker = MemoryBroker(MemoryServer())
    await hand_built.fill(broker, hand_built.with_samples(3))
    await Archive(store, "demo").keep_refused(hand_built.MESSAGES[2][1])
    done = await export(broker, "lease-0..", tmp_path / "rows", store)
    rows = lines(tmp_path / "rows")
    assert [row["sequence"] for row in rows][::2] == [1, 2, 3, 4, 5, 9, 10, 12]
    refused = rows[4]
    assert (refused["verdict"], refused["reason"]) == ("rejected", "reward-mismatch")
    assert (refused["reward"], refused["claimed_reward"], refused["step"]) == (None, 1.0, None)
    assert refused["detail"] == "rollout 1 claims reward 1, it is 0"
    assert done.left_out == (
        LeftOut(why="duplicate, and its bytes were not kept", count=1),
        LeftOut(why="late, and its bytes were not kept", count=1),
    )
    show_exported(done)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1 message left out: duplicate, and its bytes were not kept",
        "1 message left out: late, and its bytes were not kept",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("3..9", "nothing is in this range: run demo has steps 1 to 2"),
        ("lease-50..", "nothing is in this range: run demo has leases 0 to 10"),
        ("2..1", r"2\.\.1 ends before it begins"),
        ("2...3", r"'2\.\.\.3' is no range: of steps it is 12\.\.20, 12\.\. or \.\.20, of leases"),
        ("11", "nothing in run demo has the id 11; it has leases 0 to 10"),
        ("s0:8", "there is nothing to write: late, and its bytes were not kept"),
    ],
)
async def test_what_cannot_be_exported_leaves_no_file(
    broker, store, tmp_path, text: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        await export(broker, text, tmp_path / "rows", store)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows_in", [JsonLines, Parquet])
async def test_an_archive_with_holes_is_not_exported(broker, store, tmp_path, rows_in) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "rows"
    path.write_text("of yesterday")
    with pytest.raises(ObjectMissing):
        await export(broker, "1..2", path, MemoryStore(), rows_in=rows_in)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await export(broker, "1..2", path, store, rows_in=rows_in)
    gc.collect()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["of yesterday"]


async def test_text_is_printable_ascii(broker, store, tmp_path) -> None:
    hostile = "\x1b[31m\u202e\n\x7f🙂="
    await export(broker, "7", tmp_path / "rows", store, spell=lambda _: hostile)
    written = (tmp_path / "rows").read_bytes()
    assert all(0x20 <= byte < 0x7F for byte in written.replace(b"\n", b""))
    assert written.count(b"\n") == 2
    assert lines(tmp_path / "rows")[0]["completion"] == hostile * 2


@pytest.mark.parametrize("rows_in", [JsonLines, Parquet])
async def test_a_full_disk_leaves_what_was_there(broker, store, tmp_path, rows_in) -> None:
    pytest.importorskip("pyarrow")

    class Full(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await export(broker, "1..2", tmp_path / "rows", store, rows_in=lambda _: rows_in(Full()))
    gc.collect()
    assert list(tmp_path.iterdir()) == []


async def test_parquet_holds_the_same_rows(broker, store, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    await export(broker, "1..2", tmp_path / "rows.jsonl", store)
    await export(broker, "1..2", tmp_path / "rows.parquet", store, rows_in=Parquet)
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.to_pylist() == lines(tmp_path / "rows.jsonl")
    types = {field.name: str(field.type) for field in table.schema}
    assert types["token_ids"] == "list<element: uint32>"
    assert types["loss_mask"] == "list<element: uint8>"
    assert types["logprobs"] == "list<element: float>"
    assert (types["seed"], types["reward"], types["prompt"]) == ("int64", "double", "string")


async def test_without_pyarrow_a_sentence_says_what_to_do(
    broker, store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'tributary-rl\[parquet\]', or take --jsonl"):
        await export(broker, "7", tmp_path / "rows", store, rows_in=Parquet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1..2", Steps(1, 2)),
        ("..", Steps(0, None)),
        ("lease-..9", Leases(0, 9)),
        ("7", None),
        ("s0:7", None),
        ("0123456789ab", None),
    ],
)
def test_ranges_and_ids_are_told_apart(text: str, found: Steps | Leases | None) -> None:
    assert parse_range(text) == found
    assert type(parse_range(text)) is type(found)
