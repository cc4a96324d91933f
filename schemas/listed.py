"""Words side by side, as in a sentence."""

from collections.abc import Iterable
from typing import Literal


def listed(words: Iterable[str], conjunction: Literal["and", "or"]) -> str:
    """
    >>> listed(["a", "b", "c"], "or"), listed(["a", "b"], "and"), listed(["a"], "or")
    ('a, b or c', 'a and b', 'a')
    >>> listed([], "and")
    ''
    """
    *others, last = [*words] or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last
