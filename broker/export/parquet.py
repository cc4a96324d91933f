"""Parquet: a column for each field of a row, by pyarrow, which is an extra.

Columns are made from the types of `broker.export.row`, so that a file says the same whatever is in
its rows.
"""

from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import inspect

from broker.export.row import ExportRow
from schemas.errors import UserError

_COMPRESSION: Final = "zstd"
_GROUP_TOKENS: Final = 1 << 19
"""Tokens that make a row group of the file; so many wait in memory."""


class Parquet:
    """Writes rows to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        """
        Raises:
            UserError: pyarrow is not installed.
        """
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise UserError(
                "--parquet needs pyarrow: pip install 'tributary-rl[parquet]', or take --jsonl"
            ) from None
        self._table_of = pyarrow.Table.from_pylist
        self._schema = _schema(pyarrow)
        self._writer = parquet.ParquetWriter(file, self._schema, compression=_COMPRESSION)
        self._waiting: list[ExportRow] = []
        self._num_tokens = 0

    def write(self, rows: Iterable[ExportRow]) -> None:
        for row in rows:
            self._waiting.append(row)
            self._num_tokens += len(row.token_ids)
        if self._num_tokens >= _GROUP_TOKENS:
            self._flush()

    def close(self) -> None:
        """Write the end of the file, without which it is none."""
        try:
            self._flush()
            self._writer.close()
        finally:
            # Or it is closed again when it is collected, behind a full disk too.
            self._writer.is_open = False

    def _flush(self) -> None:
        found = [msgspec.to_builtins(row) for row in self._waiting]
        self._writer.write_table(self._table_of(found, schema=self._schema))
        self._waiting, self._num_tokens = [], 0


def _schema(pyarrow: Any) -> Any:
    return pyarrow.schema(_fields(pyarrow, inspect.type_info(ExportRow)))


def _fields(pyarrow: Any, kind: inspect.Type) -> list[Any]:
    assert isinstance(kind, inspect.StructType)
    return [pyarrow.field(field.name, *_column(pyarrow, field.type)) for field in kind.fields]


def _column(pyarrow: Any, kind: inspect.Type) -> tuple[Any, bool]:
    """A column's type, and whether it may be empty."""
    match kind:
        case inspect.UnionType(types=types):
            (one,) = (each for each in types if not isinstance(each, inspect.NoneType))
            return _column(pyarrow, one)[0], True
        case inspect.StrType():
            return pyarrow.string(), False
        case inspect.IntType(ge=0, le=255):
            return pyarrow.uint8(), False
        case inspect.IntType(ge=0, le=4_294_967_295):
            return pyarrow.uint32(), False
        case inspect.IntType():
            return pyarrow.int64(), False
        case inspect.Metadata(type=inspect.FloatType()):
            return pyarrow.float32(), False
        case inspect.FloatType():
            return pyarrow.float64(), False
        case inspect.ListType(item_type=item):
            return pyarrow.list_(_column(pyarrow, item)[0]), False
        case inspect.StructType():
            return pyarrow.struct(_fields(pyarrow, kind)), False
    raise AssertionError(f"a row has a kind of field that is no column: {kind}")
