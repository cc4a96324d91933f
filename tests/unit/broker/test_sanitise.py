import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich._emoji_codes import EMOJI
from rich.console import Console
from rich.text import Text

from broker.program.sanitise import sanitise

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

GOLDEN = [
    ("plain words, 3 < 4", "plain words, 3 < 4"),
    ("Grüße 你好 🙂", "Grüße 你好 🙂"),
    ("\x1b[31mred", r"\x1b[31mred"),
    ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", r"\x1b]8;;http://a\x1b\link\x1b]8;;\x1b" + "\\"),
    ("\x9b2J C1 clears too", r"\x9b2J C1 clears too"),
    ("\x07bell\x08\x7f", r"\x07bell\x08\x7f"),
    ("exe.\u202etxt", r"exe.\u202etxt"),
    ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
    ("lone \ud800", r"lone \ud800"),
    ("ok\nlevel=error forged", r"ok\nlevel=error forged"),
    ("a\r\nb\tc\u2028d\u0085e", r"a\r\nb\tc\u2028d\x85e"),
    ("[bold]loud[/bold]", r"\x5bbold]loud\x5b/bold]"),
    ("[link=http://a]b", r"\x5blink=http://a]b"),
    ("[1, 2] stays, [X] too", "[1, 2] stays, [X] too"),
    (r"\[ and \\[", r"\\x5b and \\\x5b"),
    (":warning: 12:30:45 s0:12", r"\x3awarning: 12:30:45 s0:12"),
    (":100: :1234:", r"\x3a100: \x3a1234:"),
    ("nats://127.0.0.1:4222: no answer", "nats://127.0.0.1:4222: no answer"),
    ("", ""),
]

# Whatever may be special, far more often than chance would have it.
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("[]:/\\#@=abz+1 -\x1b\x07\x9b\n\r\t\0" + BIDI),
        st.characters(),
    )
)


@pytest.mark.parametrize(("text", "shown"), GOLDEN)
def test_golden(text: str, shown: str) -> None:
    assert sanitise(text) == shown


@given(HOSTILE)
def test_nothing_invisible_is_left(text: str) -> None:
    shown = sanitise(text)
    assert all(character.isprintable() for character in shown)
    assert not any(ord(character) < 0x20 or character in BIDI for character in shown)


@given(HOSTILE)
def test_rich_shows_it_literally(text: str) -> None:
    shown = sanitise(text)
    assert Text.from_markup(shown).plain == shown


def test_rich_shows_every_emoji_code_literally() -> None:
    for name in EMOJI:
        shown = sanitise(f"a :{name}: :{name}-text: b")
        assert Text.from_markup(shown).plain == shown


@given(HOSTILE)
def test_safe_text_is_left_alone(text: str) -> None:
    assert sanitise(sanitise(text)) == sanitise(text)


@given(HOSTILE, st.integers(1, 40))
def test_is_never_longer_than_asked_for(text: str, max_length: int) -> None:
    assert len(sanitise(text, max_length=max_length)) <= max_length


def test_long_text_says_that_it_is_cut() -> None:
    assert sanitise("x" * 600) == "x" * 499 + "…"
    assert sanitise("x" * 500) == "x" * 500
    assert sanitise("\n" * 400).endswith("…")


def test_a_console_prints_no_escape_of_a_stranger() -> None:
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=200, color_system=None).print(
        sanitise("\x1b]0;title\x07 [link=http://a]b[/link] :bomb:")
    )
    assert out.getvalue() == r"\x1b]0;title\x07 \x5blink=http://a]b\x5b/link] \x3abomb:" + "\n"
