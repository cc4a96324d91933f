"""Turns TOML files and dotted overrides into a settings Struct, or into one clear sentence.

>>> from schemas.settings import LearnerSettings
>>> resolve(LearnerSettings, ["--name", "a", "--trainer.learning_rate", "1e-4"]).name
'a'
>>> resolve(LearnerSettings, ["--trainer.lerning_rate", "1e-4"])
Traceback (most recent call last):
schemas.errors.SettingsError: unknown setting trainer.lerning_rate; the nearest is \
trainer.learning_rate
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from schemas.described import described, meaning_of
from schemas.errors import SettingsError
from schemas.nearest import unknown_setting
from schemas.stray import stray_word

T = TypeVar("T", bound=msgspec.Struct)

_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_EXTRA: Final = re.compile(r"contains unknown field `(\w+)`")
_MAX_SHOWN: Final = 80
"""Characters of a wrong value."""
_COMMENT_COLUMN: Final = 48


def resolve(kind: type[T], arguments: Sequence[str]) -> T:
    """Merge defaults < TOML files (`@ file.toml`) < overrides (`--a.b value`), and check.

    Raises:
        SettingsError: a file cannot be read, a setting is unknown, has a value out of bounds, or
            does not agree with another one.
    """
    tree = _tree(arguments, described(kind))
    _refuse_unknown(kind, tree)
    try:
        return msgspec.convert(tree, kind, strict=False)
    except msgspec.ValidationError as error:
        # The cause is a Struct's own sentence about settings that do not agree.
        sentence = str(error.__cause__ or _wrong_value(kind, tree, str(error)))
        raise SettingsError(sentence) from None


def said(arguments: Sequence[str], section: str) -> frozenset[str]:
    """The settings of a section that files or overrides set, be it to their defaults.

    >>> said(["--connection.bucket", "tributary"], "connection")
    frozenset({'bucket'})

    Raises:
        SettingsError: a file cannot be read.
    """
    found = _tree(arguments, ()).get(section, {})
    return frozenset(found) if isinstance(found, dict) else frozenset()


def to_toml(settings: msgspec.Struct) -> str:
    """The resolved settings as TOML that `resolve` reads back."""
    lines = []
    for path, value in sorted(_leaves(msgspec.to_builtins(settings)), key=lambda leaf: leaf[0]):
        lines.append(f"{path} = {msgspec.json.encode(value).decode()}")
    return "\n".join(lines) + "\n"


def to_explained_toml(settings: msgspec.Struct) -> str:
    """The same TOML with each setting's meaning beside it.

    >>> from schemas.settings import EnvironmentSettings
    >>> print(to_explained_toml(EnvironmentSettings()), end="")
    id = "reverse"      # its name; one that is none is answered with those that there are
    largest = 6         # letters, or digits of a number, of the hardest tasks
    smallest = 3        # letters, or digits of a number, of the easiest tasks
    train_on = "exact"  # the reward part that is trained on (exact or partial)
    """
    lines = to_toml(settings).splitlines()
    known = described(type(settings))
    width = min(_COMMENT_COLUMN, max(map(len, lines)))
    comments = (meaning_of(known[line.partition(" = ")[0]]) for line in lines)
    return "".join(
        f"{line:<{width}}  # {comment}\n" for line, comment in zip(lines, comments, strict=True)
    )


def _tree(arguments: Sequence[str], known: Collection[str]) -> dict[str, Any]:
    """What files and overrides set, merged and not yet checked."""
    files, overrides = _split(arguments, known)
    tree: dict[str, Any] = {}
    for file in files:
        _merge(tree, _read_toml(Path(file)))
    for path, value in overrides:
        _put(tree, path, value)
    return tree


def _split(
    arguments: Sequence[str], known: Collection[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    files: list[str] = []
    overrides: list[tuple[str, str]] = []
    remaining = list(arguments)
    while remaining:
        word = remaining.pop(0)
        if word == "@":
            if not remaining:
                raise SettingsError("@ must be followed by the path of a TOML file: @ FILE.toml")
            files.append(remaining.pop(0))
        elif word.startswith("@"):
            files.append(word[1:])
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals:
                if not remaining:
                    raise SettingsError(f"--{name} must be followed by a value")
                value = remaining.pop(0)
            overrides.append((name, value))
        else:
            raise SettingsError(stray_word(word, known))
    return files, overrides


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _put(tree: dict[str, Any], path: str, value: str) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        child = tree.setdefault(parent, {})
        if not isinstance(child, dict):
            raise SettingsError(f"{path} goes through {parent}, which is a value")
        tree = child
    tree[name] = value


def _refuse_unknown(kind: type[msgspec.Struct], tree: dict[str, Any]) -> None:
    known = described(kind)
    sections = {path.rpartition(".")[0] for path in known}
    for path, value in _leaves(tree):
        if path not in known and not (value == {} and path in sections):
            raise SettingsError(unknown_setting(path, known))


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _wrong_value(kind: type[msgspec.Struct], tree: dict[str, Any], message: str) -> str:
    """`Expected `int` >= 1 - at `$.trainer.num_steps`` as a sentence with value and range."""
    what, _, where = message.partition(" - at `$.")
    path = where.rstrip("`").partition("[")[0]
    known = described(kind)
    if extra := _EXTRA.search(what):
        return f"{path}.{extra[1]} belongs to another kind of {path}"
    if missing := _MISSING.search(what):
        path = f"{path}.{missing[1]}".lstrip(".")
        how = f"`--{path} VALUE`, or `@ FILE.toml` with a file that sets it"
        return f"{path} must be said: {how}; it is {known[path].allowed}"
    given = next(value for name, value in _leaves(tree) if name == path)
    return f"{path} is {str(given)[:_MAX_SHOWN]!r} and must be {known[path].allowed}"
