"""Which known setting an unknown one was meant to be.

Sections are compared first, and then what is in the one that fits: a misspelt section does not
lead to another one, and a misspelt setting not out of its section. What is near nothing is not
given a neighbour.

>>> known = ["name", "leases.hold_s", "trainer.learning_rate", "trainer.num_steps"]
>>> unknown_setting("trainr.num_step", known)
'unknown setting trainr.num_step; the nearest is trainer.num_steps'
>>> unknown_setting("trainer.lr", known)
'unknown setting trainer.lr; the nearest is trainer.learning_rate'
>>> unknown_setting("trainr.foo", known)
'unknown setting trainr.foo; the section trainer has learning_rate and num_steps'
>>> unknown_setting("bogus", known)
'unknown setting bogus; --help lists all settings'
"""

import difflib
from collections.abc import Collection
from typing import Final

from schemas.listed import listed

_LIKENESS: Final = 0.7
"""Share of letters that two words must have in common, in the same order, to be near."""
_MOST_LISTED: Final = 8
"""Words that are said where none is near."""
_SHORTEST_PART: Final = 3
"""Letters that a part of a longer name needs to stand for it."""


def nearest(typed: str, words: Collection[str]) -> str | None:
    """The word that a slip has turned into the typed one; None when that is near nothing.

    >>> nearest("dupliacte", ["late", "duplicate"]), nearest("early", ["late", "duplicate"])
    ('duplicate', None)
    """
    return next(iter(difflib.get_close_matches(typed, sorted(words), n=1, cutoff=_LIKENESS)), None)


def instead(typed: str, words: Collection[str]) -> str:
    """What to say of who has these words, behind the sentence that another one is unknown.

    >>> instead("dmo", ["demo", "other"]), instead("x", ["demo", "other"]), instead("x", [])
    ('the nearest is demo', 'it has demo, other', 'it has none')
    >>> instead("x", [f"run{number}" for number in range(20)])
    'it has run0, run1, run10, run11, run12, run13, run14, run15 and 12 others'
    """
    if meant := nearest(typed, words):
        return f"the nearest is {meant}"
    shown, num_others = sorted(words)[:_MOST_LISTED], len(words) - _MOST_LISTED
    others = f" and {num_others} others" if num_others > 0 else ""
    return f"it has {', '.join(shown) or 'none'}{others}"


def unknown_setting(path: str, known: Collection[str]) -> str:
    """The sentence for a setting that is none of the known ones."""
    section, _, typed = path.rpartition(".")
    sections = {name.rpartition(".")[0] for name in known}
    if path in sections:
        return f"{path} is a section and takes no value; it has {listed(_keys(path, known), 'and')}"
    if section in known:
        return f"unknown setting {path}; {section} takes a value and is no section"
    if section not in sections:
        section = nearest(section, sections)
    keys = [] if section is None else _keys(section, known)
    if meant := _meant(typed, section, keys, known):
        return f"unknown setting {path}; the nearest is {listed(meant, 'or')}"
    if section:
        return f"unknown setting {path}; the section {section} has {listed(keys, 'and')}"
    return f"unknown setting {path}; --help lists all settings"


def _meant(
    typed: str, section: str | None, keys: Collection[str], known: Collection[str]
) -> list[str]:
    """A key of the section, or else settings of other sections that bear the name."""
    names = {name.rpartition(".")[2] for name in known}
    if typed not in names and (key := _near(typed, keys)):
        return [f"{section}.{key}" if section else key]
    elsewhere = typed if typed in names or section else _near(typed, names)
    return sorted(name for name in known if name.rpartition(".")[2] == elsewhere)


def _keys(section: str, known: Collection[str]) -> list[str]:
    """What stands in a section: settings, and the sections within it."""
    prefix = f"{section}." if section else ""
    inside = (name.removeprefix(prefix) for name in known if name.startswith(prefix))
    return sorted({name.partition(".")[0] for name in inside})


def _near(typed: str, keys: Collection[str]) -> str | None:
    """The key that is meant by its initials (`lr`), by a part of it (`rate`), or by a slip."""
    longer = [key for key in keys if _is_short_for(typed, key)]
    return min(longer, key=lambda key: (len(key), key), default=None) or nearest(typed, keys)


def _is_short_for(typed: str, key: str) -> bool:
    words = key.split("_")
    if len(words) > 1 and typed == "".join(word[:1] for word in words):
        return True
    return len(typed) >= _SHORTEST_PART and typed in key
