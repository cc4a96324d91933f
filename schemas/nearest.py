"""Which known setting an unknown one was meant to be.

Sections are compared first, and then what is in the one that fits: a misspelt section does not
lead to another one, and a misspelt setting not out of its section.

>>> known = ["name", "leases.hold_s", "trainer.learning_rate", "trainer.num_steps"]
>>> unknown_setting("trainr.num_step", known)
'unknown setting trainr.num_step; the nearest is trainer.num_steps'
>>> unknown_setting("trainer.lr", known)
'unknown setting trainer.lr; the nearest is trainer.learning_rate'
>>> unknown_setting("trainr.foo", known)
'unknown setting trainr.foo; the section trainer has learning_rate and num_steps'
"""

import difflib
from collections.abc import Collection


def unknown_setting(path: str, known: Collection[str]) -> str:
    """The sentence for a setting that is none of the known ones."""
    typed_section, _, typed = path.rpartition(".")
    sections = {name.rpartition(".")[0] for name in known}
    if path in sections:
        return f"{path} is a section and takes no value; it has {_listed(_keys(path, known))}"
    if typed_section in known:
        return f"unknown setting {path}; {typed_section} takes a value and is no section"
    section = typed_section if typed_section in sections else _closest(typed_section, sections)
    keys = [] if section is None else _keys(section, known)
    elsewhere = [name for name in known if name.rpartition(".")[2] == typed]
    if key := _abbreviated(typed, keys) or (not elsewhere and _closest(typed, keys)):
        return f"unknown setting {path}; the nearest is {f'{section}.' if section else ''}{key}"
    if section and not elsewhere:
        return f"unknown setting {path}; the section {section} has {_listed(keys)}"
    nearest = max(sorted(elsewhere or known), key=lambda name: _likeness(path, name))
    return f"unknown setting {path}; the nearest is {nearest}"


def _keys(section: str, known: Collection[str]) -> list[str]:
    """What stands in a section: settings, and the sections within it."""
    prefix = f"{section}." if section else ""
    inside = (name.removeprefix(prefix) for name in known if name.startswith(prefix))
    return sorted({name.partition(".")[0] for name in inside})


def _abbreviated(typed: str, keys: Collection[str]) -> str | None:
    """The key that has all the typed letters in this order: `lr` is the learning rate."""
    found = [key for key in keys if typed and _in_order(typed, key)]
    return max(found, key=lambda key: _likeness(typed, key), default=None)


def _in_order(typed: str, key: str) -> bool:
    remaining = iter(key)
    return all(letter in remaining for letter in typed)


def _closest(typed: str, words: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(typed, sorted(words), n=1)), None)


def _likeness(typed: str, known: str) -> float:
    return difflib.SequenceMatcher(None, typed, known).ratio()


def _listed(keys: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(keys[:-1]), keys[-1]]))
