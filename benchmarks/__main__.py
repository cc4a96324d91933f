"""Measures everything, or the benchmarks that are named, and prints the table.

python -m benchmarks                      everything; also writes benchmarks/results.json
python -m benchmarks codec broker         these two; writes nothing
python -m benchmarks codec --output FILE  also writes FILE
"""

import argparse
import importlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_RESULTS: Final = Path(__file__).parent / "results.json"
_PARTS: Final = (
    "intake",
    "queue",
    "event_loop",
    "swarm",
    "broker",
    "codec",
    "actor",
    "trainer",
    "demo_waiting",
)
"""In the order of measuring. The trainer comes behind the actor: it makes torch deterministic in
the whole process."""
_WARNING: Final = 30


def main(arguments: Sequence[str] | None = None) -> None:
    chosen, output = _parse(arguments)
    # Heavy imports come behind the command line, so that --help is instant.
    import structlog

    from benchmarks.table import to_json, to_markdown

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_WARNING))
    began = time.monotonic()
    figures = []
    for name in chosen:
        print(f"measuring {name} ...", flush=True)
        figures += importlib.import_module(f"benchmarks.{name}").measure()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{to_markdown(figures)}\nload average {load} on {os.cpu_count()} cores, ", end="")
    print(f"{time.monotonic() - began:.0f} s")
    if output is not None:
        output.write_bytes(to_json(figures))


def _parse(arguments: Sequence[str] | None) -> tuple[list[str], Path | None]:
    """Names in the order of measuring, and where the table is written, if anywhere."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(_PARTS)}; default: all"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON is written")
    found = parser.parse_args(arguments)
    unknown = [name for name in found.names if name not in _PARTS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(_PARTS)}")
    output = found.output or (None if found.names else _RESULTS)
    if output is not None and not os.access(output.parent, os.W_OK):
        # Said before the measuring, not minutes later.
        parser.error(f"cannot write in {output.parent}")
    return [name for name in _PARTS if name in found.names or not found.names], output


if __name__ == "__main__":
    main()
