"""Measures everything, prints the table, and writes benchmarks/results.json."""

import os
import time
from pathlib import Path

import structlog

from benchmarks import actor, broker, codec, demo_waiting, intake, trainer
from benchmarks.table import to_json, to_markdown

_RESULTS = Path(__file__).parent / "results.json"
_WARNING = 30


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_WARNING))
    began = time.monotonic()
    figures = []
    # The trainer comes behind the actor: it makes torch deterministic in the whole process.
    for part in (intake, broker, codec, actor, trainer, demo_waiting):
        print(f"measuring {part.__name__.rpartition('.')[2]} ...", flush=True)
        figures += part.measure()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{to_markdown(figures)}\nload average {load} on {os.cpu_count()} cores, ", end="")
    print(f"{time.monotonic() - began:.0f} s")
    _RESULTS.write_bytes(to_json(figures))


if __name__ == "__main__":
    main()
