import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit import audit, audit_run
from broker.look import views
from broker.look.life import Life, life_in_run
from broker.look.listing import list_server
from broker.look.moments import Moment, What
from broker.look.peek import peek
from broker.memory import MemoryBroker, MemoryServer
from broker.program.screen import Column, ascii_json, show_json, show_line, show_table
from broker.streams import run_streams
from schemas.settings import RunSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


UNSEEN = "It did not look at the policies (learner replay computes them again)."
UNSEEN_AT_ALL = UNSEEN.replace("at the", "at the archive's bytes (--deep reads them) or at the")
HOSTILE = "\x1b[31m[link=http://a]x[/link]\u202e\n:bomb:"
SHOWN = r"\x1b[31m\x5blink=http://a]x\x5b/link]\u202e\n\x3abomb:"


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_hostile_comes_through(monkeypatch, terminal: bool) -> None:
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "200")
    show_line(HOSTILE)
    show_table(HOSTILE, [Column("what"), Column("count", right=True)], [[HOSTILE, 1], ["b", 20]])
    text = out.getvalue()
    assert text.count(SHOWN) == 3
    # Rich itself styles the title and the head; what is left without its styles is plain.
    assert "\u202e" not in text
    assert "\x1b[31m" not in text
    assert "💣" not in text


def test_a_pipe_gets_aligned_text(capsys) -> None:
    show_table("Runs", [Column("run"), Column("step", right=True)], [["demo", 12], ["x", 7]])
    assert capsys.readouterr().out == "Runs\n  run   step\n  demo    12\n  x        7\n"


@given(st.dictionaries(st.text(), st.text()))
def test_json_is_printable_ascii_and_means_the_same(value: dict[str, str]) -> None:
    document = ascii_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert all(" " <= character <= "~" for character in document)


async def test_answers_in_words(broker, capsys, store) -> None:
    views.show_audit(await audit_run(broker, "demo", store=store))
    views.show_life(await life_in_run(broker, "demo", "s0:7"))
    views.show_sights((await peek(broker, "demo", open_store=lambda: store)).sights)
    await broker.publish("rollouts.demo.s0.1-2.BOB", b"\x1b[31m no group")
    views.show_sights((await peek(broker, "demo", open_store=lambda: store)).sights)
    views.show_listing(await list_server(broker))
    out = capsys.readouterr().out
    for line in (
        "ok   leases            11 issued = 1 open + 7 fulfilled",
        "5 groups were read from the archive and hashed",
        f"The audit of demo holds. {UNSEEN}",
        r"judged     rejected(envelope): broken \x1b[31m",
        "  policy    1-2, 0 versions behind the newest",
        "  claimed   1 0",
        "  wrong     envelope: does not begin as a Tributary message does",
        "  begins    1b5b3331 6d206e6f 2067726f 7570",
        "  demo     1-2  2 of 200            1               1  accepted 7,",
    ):
        assert line in out
    assert "\x1b" not in out


async def test_a_run_that_was_opened_and_has_no_coordinator_yet_is_shown_so(capsys) -> None:
    broker = MemoryBroker(MemoryServer())
    for spec in run_streams(RunSettings(name="mine")):
        await broker.ensure_stream(spec)
    views.show_listing(await list_server(broker))
    out = capsys.readouterr().out
    assert "mine  none yet  no coordinator yet" in out
    assert "not opened" not in out


def test_an_actors_key_is_cut_and_stands_whole_once(capsys) -> None:
    key = "UALICE" + "A2" * 25
    moments = tuple(
        Moment(time=None, what=What.PUBLISHED, text=f"message {n} on rollouts.demo.{key}, by {key}")
        for n in (1, 2)
    )
    views.show_life(Life(id="7", lease_id=7, moments=moments))
    *told, legend = capsys.readouterr().out.splitlines()
    assert told[1].endswith("message 2 on rollouts.demo.UALICEA2…, by UALICEA2…")
    assert legend == f"UALICEA2… is {key}"


def test_a_run_that_is_not_opened_has_no_limit(capsys) -> None:
    views.show_audit(audit("demo", [], []))
    assert capsys.readouterr().out == (
        "ok   leases  0 issued = 0 open + 0 fulfilled + 0 refused + 0 expired + 0 abandoned\n"
        "ok   groups  0 accepted = 0 in a batch + 0 waiting + 0 no signal + 0 stale at the cut\n"
        "no coordinator has opened the log yet\n"
        f"The audit of demo holds. {UNSEEN_AT_ALL}\n"
    )


async def test_json_keys_are_stable(broker, store, capsys) -> None:
    """`docs/operations.md` names these."""

    def keys(value: object) -> list[str]:
        show_json(value)
        document = json.loads(capsys.readouterr().out)
        return list(document[0] if isinstance(document, list) else document)

    listing = await list_server(broker)
    assert keys(listing) == ["runs", "streams", "unseen"]
    assert keys(listing.runs) == [
        "run",
        "policy",
        "step",
        "num_steps",
        "num_open_leases",
        "num_waiting",
        "verdicts",
    ]
    assert keys((await peek(broker, "demo", open_store=lambda: store)).sights) == [
        "stream",
        "sequence",
        "subject",
        "num_bytes",
        "sha256",
        "time",
        "group",
        "said",
        "undecodable",
        "verdict",
        "place",
        "missing",
    ]
    assert keys(await life_in_run(broker, "demo", "7")) == ["id", "lease_id", "moments"]
    assert keys(await audit_run(broker, "demo")) == [
        "run",
        "holds",
        "equations",
        "violations",
        "num_batches",
        "num_rows",
        "stalest_row",
        "max_staleness",
        "num_stored_since",
        "num_reused_sequences",
        "num_lost_at_restores",
        "num_groups_hashed",
        "not_checked",
    ]
