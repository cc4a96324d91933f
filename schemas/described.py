"""What settings there are: path, default, meaning, and which values are allowed.

>>> from schemas.settings import LearnerSettings
>>> described(LearnerSettings)["environment.train_on"].allowed
'exact or partial'
>>> described(LearnerSettings)["trainer.learning_rate"].allowed
'a number above 0 and at most 1'
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import inspect

from schemas.listed import listed
from schemas.types import TOKEN_PATTERN


class Setting(NamedTuple):
    """One setting."""

    path: str
    """Dotted, as on the command line."""
    default: object
    """None: there is none, it must be said."""
    meaning: str
    """Empty where nothing describes it."""
    allowed: str
    """Which values, in words."""
    choices: tuple[str, ...]
    """Empty where there are too many to list."""


def described(kind: type[msgspec.Struct]) -> dict[str, Setting]:
    """Every setting under a Struct by its path, those of all members of a union included."""
    struct = inspect.type_info(kind)
    assert isinstance(struct, inspect.StructType)
    return {setting.path: setting for setting in _settings(struct, "")}


def meaning_of(setting: Setting) -> str:
    """What a setting is for, and its choices where they are few."""
    choices = f"({listed(setting.choices, 'or')})" if setting.choices else ""
    return " ".join(filter(None, [setting.meaning, choices]))


def _settings(struct: inspect.StructType, prefix: str) -> Iterator[Setting]:
    for field in struct.fields:
        kind, meaning = _without_metadata(field.type)
        path = f"{prefix}{field.name}"
        default = None if field.required else msgspec.to_builtins(field.default)
        options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        sections = [option for option in options if isinstance(option, inspect.StructType)]
        if not sections:
            choices = _choices(kind)
            yield Setting(path, default, meaning, listed(choices, "or") or _allowed(kind), choices)
            continue
        tags = tuple(str(section.tag) for section in sections)
        if tag_field := sections[0].tag_field:
            assert default is not None, "a section has a default"
            tag = default[tag_field]
            yield Setting(f"{path}.{tag_field}", tag, meaning, listed(tags, "or"), tags)
        for section in sections:
            yield from _settings(section, f"{path}.")


def _without_metadata(kind: inspect.Type) -> tuple[inspect.Type, str]:
    meaning = ""
    while isinstance(kind, inspect.Metadata):
        meaning = meaning or (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    return kind, meaning


def _choices(kind: inspect.Type) -> tuple[str, ...]:
    return tuple(map(str, kind.values)) if isinstance(kind, inspect.LiteralType) else ()


def _allowed(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            return f"a whole number{_range(kind)}"
        case inspect.FloatType():
            return f"a number{_range(kind)}"
        case inspect.StrType(pattern=pattern) if pattern == TOKEN_PATTERN:
            return "1 to 64 of A-Z a-z 0-9 _ -"
        case inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            return f"a list of {least} to {most}, in a TOML file, each {_allowed(item)}"
        case _:
            return "text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    """Both bounds, as far as there are any.

    >>> _range(inspect.IntType(ge=1, le=9)), _range(inspect.FloatType(gt=0))
    (' from 1 to 9', ' above 0')
    """
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    bounds = [
        ("of at least", kind.ge),
        ("above", kind.gt),
        ("at most", kind.le),
        ("below", kind.lt),
    ]
    words = [f"{word} {bound}" for word, bound in bounds if bound is not None]
    return f" {' and '.join(words)}" if words else ""
