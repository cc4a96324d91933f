"""Turns TOML files and dotted overrides into a settings Struct, or into one clear sentence.

>>> from schemas.settings import LearnerSettings
>>> resolve(LearnerSettings, ["--trainer.learning_rate", "1e-4"]).trainer.learning_rate
0.0001
>>> resolve(LearnerSettings, ["--trainer.lerning_rate", "1e-4"])
Traceback (most recent call last):
schemas.errors.SettingsError: unknown setting trainer.lerning_rate; the nearest is \
trainer.learning_rate
"""

import difflib
import tomllib
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.errors import SettingsError

T = TypeVar("T", bound=msgspec.Struct)


def resolve(kind: type[T], arguments: Sequence[str]) -> T:
    """Merge defaults < TOML files (`@ file.toml`) < overrides (`--a.b value`), and check.

    Raises:
        SettingsError: a file cannot be read, a setting is unknown or has a value out of bounds.
    """
    tree = _tree(arguments)
    _refuse_unknown(kind, tree)
    try:
        return msgspec.convert(tree, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"a setting is wrong: {_readable(str(error))}") from None


def says(arguments: Sequence[str], section: str) -> bool:
    """True when files or overrides set anything in a section, be it to its default.

    >>> says(["--connection.bucket", "tributary"], "connection"), says([], "connection")
    (True, False)

    Raises:
        SettingsError: a file cannot be read.
    """
    return bool(_tree(arguments).get(section))


def to_toml(settings: msgspec.Struct) -> str:
    """The resolved settings as TOML that `resolve` reads back."""
    lines = []
    for path, value in sorted(_leaves(msgspec.to_builtins(settings)), key=lambda leaf: leaf[0]):
        lines.append(f"{path} = {msgspec.json.encode(value).decode()}")
    return "\n".join(lines) + "\n"


def _tree(arguments: Sequence[str]) -> dict[str, Any]:
    """What files and overrides set, merged and not yet checked."""
    files, overrides = _split(arguments)
    tree: dict[str, Any] = {}
    for file in files:
        _merge(tree, _read_toml(Path(file)))
    for path, value in overrides:
        _put(tree, path, value)
    return tree


def _split(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    files: list[str] = []
    overrides: list[tuple[str, str]] = []
    remaining = list(arguments)
    while remaining:
        word = remaining.pop(0)
        if word == "@":
            if not remaining:
                raise SettingsError("@ must be followed by the path of a TOML file")
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
            raise SettingsError(f"do not know what {word!r} means; settings are --name value")
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
    known = set(_paths(kind))
    sections = {path.rpartition(".")[0] for path in known}
    for path, value in _leaves(tree):
        if path in known or (value == {} and path in sections):
            continue
        nearest = max(sorted(known), key=lambda name: _nearness(path, name))
        raise SettingsError(f"unknown setting {path}; the nearest is {nearest}")


def _nearness(typed: str, known: str) -> tuple[bool, float]:
    """How well a known setting fits: an abbreviation of it before any other likeness."""
    remaining = iter(known.rpartition(".")[2])
    abbreviated = all(letter in remaining for letter in typed.rpartition(".")[2])
    same_section = typed.rpartition(".")[0] == known.rpartition(".")[0]
    likeness = difflib.SequenceMatcher(None, typed, known).ratio()
    return abbreviated and same_section, likeness


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _paths(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """Every dotted setting under a Struct, those of all members of a union included."""
    for field in msgspec.structs.fields(kind):
        sections = list(_structs_of(field.type))
        for section in sections:
            tag_field = section.__struct_config__.tag_field
            if tag_field:
                yield f"{prefix}{field.name}.{tag_field}"
            yield from _paths(section, f"{prefix}{field.name}.")
        if not sections:
            yield f"{prefix}{field.name}"


def _structs_of(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (types.UnionType, typing.Union)
        else (annotation,)
    )
    yield from (
        option
        for option in options
        if isinstance(option, type) and issubclass(option, msgspec.Struct)
    )


def _readable(message: str) -> str:
    """`Expected `int` >= 1 - at `$.trainer.num_steps`` to a sentence that names the setting."""
    what, at, where = message.partition(" - at `$.")
    return f"{where.rstrip('`')}: {what[0].lower()}{what[1:]}" if at else message
