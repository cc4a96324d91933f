"""`broker bench`: what the servers at hand can do, or a disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.addresses import SERVERS_DIRECTORY
from broker.interface import Broker
from broker.program.command import Servers, writes_below
from broker.verbs.looking import Where
from broker.verbs.options import Json, Nats, SettingsFile, ask

if TYPE_CHECKING:
    from broker.bench.deployment import Passage


def bench(
    context: typer.Context,
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Measure durable writes to the disk of this directory, on a nats-server started "
            "for it and stopped again, and not the servers at hand.",
            show_default=False,
        ),
    ] = None,
    writes: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="How many, with --directory.")
    ] = 500,
    messages: Annotated[
        int, typer.Option(min=2, max=100_000, help="How many go through the servers at hand.")
    ] = 256,
    size: Annotated[
        int, typer.Option("--bytes", min=16, max=1 << 28, help="Bytes of each message.")
    ] = 256 << 10,
    replicas: Annotated[
        int, typer.Option(min=1, max=5, help="Copies of each message in a cluster.")
    ] = 1,
    nats: Nats = "",
    settings: SettingsFile = "",
    servers: Servers = SERVERS_DIRECTORY,
    json: Json = False,
) -> None:
    """Measure how fast messages are stored, fetched, and there and back, beside a raw socket.

    They go through a stream made for it and removed again, for which one needs the operator's
    credentials.
    """
    if directory is not None:
        _bench_disk(context, directory, writes, json=json)
        return
    from broker.bench.deployment import measure
    from broker.program import screen

    async def pass_through(broker: Broker) -> "Passage":
        return await measure(broker, num_messages=messages, num_bytes=size, num_replicas=replicas)

    found = ask(Where(nats, settings, servers).connection(), pass_through, servers)
    if json:
        screen.show_json(found)
    else:
        _show(found)


def _show(found: "Passage") -> None:
    from broker.program import screen, words

    columns = [
        screen.Column("what"),
        *(screen.Column(name, right=True) for name in ("a second", "MB/s", "p50 ms", "p99 ms")),
    ]
    paces = {
        f"publish, {found.num_under_way} under way": found.publish,
        "fetch and remove": found.fetch,
        "there and back, one by one": found.round_trip,
    }
    rows: list[screen.Row] = [
        (
            what,
            f"{pace.messages_per_s:.0f}",
            f"{pace.mb_per_s:.1f}",
            f"{pace.p50_ms:.2f}",
            f"{pace.p99_ms:.2f}",
        )
        for what, pace in paces.items()
    ]
    rows.append(("raw socket on this machine", "", f"{found.socket_mb_per_s:.1f}", "", ""))
    copies = words.counted(found.num_replicas, "replica")
    title = f"{found.num_messages} messages of {words.size(found.num_bytes)}, {copies}"
    screen.show_table(title, columns, rows)


def _bench_disk(context: typer.Context, directory: Path, num_writes: int, *, json: bool) -> None:
    import asyncio

    from broker.bench.disk import bench as measure
    from broker.program import screen

    writes_below(context, directory)
    found = asyncio.run(measure(directory, num_writes))
    if json:
        screen.show_json(found)
        return
    screen.show_line(
        f"{found.writes_per_s:.0f} durable writes a second of {found.num_bytes} bytes, one behind "
        f"the other; half take {found.p50_ms:.2f} ms or less, 99 of 100 {found.p99_ms:.2f} ms"
    )
