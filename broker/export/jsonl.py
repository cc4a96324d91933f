"""JSON Lines: a row a line, in printable ASCII, so that no viewer acts upon a stranger's text."""

from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from broker.export.row import ExportRow
from broker.program.screen import ascii_json


class JsonLines:
    """Writes rows to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Iterable[ExportRow]) -> None:
        for row in rows:
            self._file.write(ascii_json(self._encoder.encode(row).decode()).encode() + b"\n")

    def close(self) -> None:
        pass
