"""Conditions on messages that are not all known: what holds, and what may come to hold.

A comparison with a figure that the message does not have is unknown, as in SQL, and so is what
rests on it: `not` does not make it true. A field of the message's bytes is not read at first, so a
test gives everything that it may come to: one result where all is known, several where it is not.
So it can be told whether the bytes are needed.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from broker.look.fields import Looked, Value


class Unread(Enum):
    """In the place of a value that the message's bytes may have."""

    UNREAD = "unread"


UNREAD: Final = Unread.UNREAD
Found = Value | Unread
Find = Callable[[Looked], Found]
"""One side of a comparison."""
Compare = Callable[[Any, Any], bool]
Results = frozenset[bool | None]
"""What a test may come to; None: unknown for good."""
Test = Callable[[Looked], Results]

_UNKNOWN: Final[Results] = frozenset({None})
_YES: Final[Results] = frozenset({True})
_NO: Final[Results] = frozenset({False})


class Condition(Struct, frozen=True):
    """What messages are chosen by."""

    test: Test

    def holds(self, looked: Looked) -> bool:
        """True whatever else there is to read."""
        return self.test(looked) == _YES

    def may_hold(self, looked: Looked) -> bool:
        """True, or it may come to be so once the bytes are read."""
        return True in self.test(looked)


def compared(left: Find, right: Find, compare: Compare) -> Test:
    """A comparison of two values."""

    def test(looked: Looked) -> Results:
        a, b = left(looked), right(looked)
        if a is None or b is None:
            return _UNKNOWN
        if a is UNREAD or b is UNREAD:
            return _YES | _NO | _UNKNOWN
        return _YES if compare(a, b) else _NO

    return test


def absent(find: Find, *, wanted: bool) -> Test:
    """Whether the message has no such value: never unknown once it is read."""

    def test(looked: Looked) -> Results:
        found = find(looked)
        if found is UNREAD:
            return _YES | _NO
        return _YES if (found is None) is wanted else _NO

    return test


def joined(tests: Sequence[Test], *, deciding: bool) -> Test:
    """`or` is decided by a True, `and` by a False; else it is unknown if any of them is."""

    def join(a: bool | None, b: bool | None) -> bool | None:
        if a is deciding or b is deciding:
            return deciding
        return None if a is None or b is None else not deciding

    def test(looked: Looked) -> Results:
        found: Results = frozenset({not deciding})
        for one in tests:
            found = frozenset(join(a, b) for a in found for b in one(looked))
            if found == {deciding}:
                break
        return found

    return test


def negated(test: Test) -> Test:
    """`not`: what is unknown stays so."""
    return lambda looked: frozenset(
        None if result is None else not result for result in test(looked)
    )
