"""Measures everything, prints the table, and writes benchmarks/results.json."""

import os
from pathlib import Path

import msgspec
import structlog

from benchmarks import codec, intake, trainer, waiting
from benchmarks.table import to_markdown

_RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    figures = []
    for part in (codec, intake, trainer, waiting):
        print(f"measuring {part.__name__.rpartition('.')[2]} ...", flush=True)
        figures += part.measure()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{to_markdown(figures)}\nload average {load} on {os.cpu_count()} cores")
    _RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


if __name__ == "__main__":
    main()
