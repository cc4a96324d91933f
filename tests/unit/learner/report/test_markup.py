"""Nothing from outside becomes markup."""

import pytest

from learner.report.markup import label, picture, table, tag, words

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</text></svg><script>",
    "\x1b]8;;http://a\x07link\x1b]8;;\x07",
    "\u202etxt.exe",
    "a\nb\r\x00",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_words_have_no_markup_and_no_control_characters(text):
    shown = words(text)
    assert not set(shown) & set("<>\"'")
    assert shown.isprintable()


def test_an_ampersand_is_shown_as_it_is():
    assert words("&lt;b&gt;") == "&amp;lt;b&amp;gt;"


@pytest.mark.parametrize("text", HOSTILE)
def test_attributes_cannot_be_left(text):
    element = tag("span", class_=text)
    inside = element.removeprefix('<span class="').removesuffix('"></span>')
    assert not set(inside) & set("<>\"'")


@pytest.mark.parametrize("text", HOSTILE)
def test_pictures_and_tables_hold_text_not_elements(text):
    drawn = picture(10, 10, text, label(1, 2, text)) + table([text], [[words(text), "x"]])
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert drawn.count("<title>") == drawn.count("</title>") == 1


def test_long_text_is_cut():
    assert len(words("x" * 10_000)) == 500


def test_coordinates_are_short():
    assert tag("rect", x=1 / 3, y=2.0, width=10) == '<rect x="0.33" y="2" width="10"/>'
