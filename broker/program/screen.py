"""Prints answers, sanitised: tables on a terminal, aligned text in a pipe, or JSON."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from broker.program.sanitise import sanitise

MAX_CELL_LENGTH = 200


class Column(NamedTuple):
    """A column of a table."""

    name: str
    right: bool = False
    """Numbers stand right."""


Row = Sequence[object]


def show_line(text: str = "") -> None:
    """Print one line."""
    print(sanitise(text, max_length=2000))


def show_table(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print a table."""
    title = sanitise(title)
    cells = [[sanitise(str(cell), max_length=MAX_CELL_LENGTH) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _show_rich(title, columns, cells)
    else:
        print(aligned(title, columns, cells), end="")


def show_json(value: object) -> None:
    """Print a Struct, or a list of them, as a JSON document."""
    document = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    print(ascii_json(document))


def show_json_line(value: object) -> None:
    """Print a Struct, or a list of them, as a JSON document on one line."""
    print(ascii_json(msgspec.json.encode(value).decode()))


def aligned(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """A table as plain text, two spaces between its columns.

    >>> columns = [Column("run"), Column("step", right=True)]
    >>> print(aligned("Runs", columns, [["demo", "12"]]), end="")
    Runs
      run   step
      demo    12
    """
    names = [column.name for column in columns]
    widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    lines = [title]
    for row in (names, *rows):
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines) + "\n"


def ascii_json(document: str) -> str:
    r"""The same document in printable ASCII: inside JSON every other character can be escaped.

    >>> ascii_json('"\u202e\U0001f642"')
    '"\\u202e\\ud83d\\ude42"'
    """
    return "".join(
        character if character in _ASCII else _escaped(character) for character in document
    )


_ASCII = frozenset(chr(code) for code in range(0x20, 0x7F)) | {"\n"}


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _show_rich(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        # The first column tells the rows apart, so it is shown whole.
        justify = "right" if column.right else "left"
        table.add_column(column.name, justify=justify, no_wrap=number == 0)
    for row in rows:
        # Text is shown literally; a plain string would be read as markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(markup=False, highlight=False, emoji=False).print(table)
