"""`broker bench`: what the machine at hand can do."""

from pathlib import Path
from typing import Annotated

import typer

from broker.program.command import writes_below
from broker.verbs.options import Json


def bench(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Option(help="A directory on the disk that is to be measured.")
    ] = Path(),
    writes: Annotated[int, typer.Option(min=2, max=1_000_000, help="How many.")] = 500,
    json: Json = False,
) -> None:
    """Measure durable writes to a disk, on a nats-server started for it and stopped again."""
    import asyncio

    from broker.bench import bench as measure
    from broker.program import screen

    writes_below(context, directory)
    found = asyncio.run(measure(directory, writes))
    if json:
        screen.show_json(found)
        return
    screen.show_line(
        f"{found.writes_per_s:.0f} durable writes a second of {found.num_bytes} bytes, one behind "
        f"the other; half take {found.p50_ms:.2f} ms or less, 99 of 100 {found.p99_ms:.2f} ms"
    )
