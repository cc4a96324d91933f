r"""Makes text from outside safe to show: everything goes through it before it is printed.

Actors choose names, versions and details, and models write answers. Such text can hold terminal
escapes, characters that reverse the reading direction, markup that rich turns into links, or a
newline that forges a line of a log. What is not plainly visible is shown as an escape instead, so
the result can go to a terminal, a table or a line of a log as it is.

>>> sanitise("caf\u00e9 \x1b[31mred\nok [link=http://a]b[/link] \u202etxt.exe")
'café \\x1b[31mred\\nok \\x5blink=http://a]b\\x5b/link] \\u202etxt.exe'
"""

import re

MAX_LENGTH = 500
_MORE = "…"

_MARKUP = re.compile(r"(?<=\\)\[|\[(?=[a-z#/@])")
"""What may open a tag of rich's markup, and what rich takes the backslash from."""
_EMOJI = re.compile(r":(?=(?:100|1234|(?!\d+:)[^\s:/]+):)")
"""What may open an emoji code of rich; a time such as 12:30:45 and a URL do not. Of all numbers
only :100: and :1234: are codes."""


def sanitise(text: str, *, max_length: int = MAX_LENGTH) -> str:
    """Return the text on one line, without a character that a terminal or rich would act upon.

    Longer results are shortened to `max_length` characters, the last of which then says so.
    """
    # Each character gives at least one, so what lies behind the limit can never be shown.
    visible = "".join(_visible(character) for character in text[: max_length + 1])
    inert = _EMOJI.sub(r"\\x3a", _MARKUP.sub(r"\\x5b", visible))
    if len(inert) <= max_length:
        return inert
    return inert[: max_length - len(_MORE)] + _MORE


def _visible(character: str) -> str:
    # `isprintable` is False for controls, format and bidi characters, surrogates, private and
    # unassigned code points, and every space but the plain one.
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
