"""uvloop against asyncio's own event loop: the same messages through our publisher and consumer.

Both loops take turns on one nats-server that syncs when it pleases, so that as little as possible
of the time is the disk's: what a faster loop gains is seen best there. The coordinator and actors
run on asyncio's own: see `docs/decisions/0016-event-loop.md`.
"""

import asyncio
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from benchmarks import stand
from benchmarks.sides import Ours, Turn
from benchmarks.table import Figure, missing, of_rounds

_SIZE: Final = 256 << 10
_NUM_MESSAGES: Final = 128
_NAME: Final = "event loop: {verb} of 256 KiB, uvloop / asyncio"
_VERBS: Final = {"publish": "publish_s", "pull": "pull_s"}
Factory = Callable[[], asyncio.AbstractEventLoop]


def measure(num_rounds: int = 11) -> list[Figure]:
    if importlib.util.find_spec("uvloop") is None:
        how = "uvloop is not installed: pip install '.[bench]'"
        return [missing(_NAME.format(verb=verb), unit="x", aim="1.2", how=how) for verb in _VERBS]
    factories = importlib.import_module("uvloop").new_event_loop, asyncio.new_event_loop
    with stand.running_lazy_nats() as url:
        rounds = [_take_turns(url, factories) for _ in range(num_rounds + 1)]
    return to_figures(rounds[1:])  # The first round warms up.


def _take_turns(url: str, factories: Sequence[Factory]) -> list[Turn]:
    messages = [os.urandom(_SIZE) for _ in range(_NUM_MESSAGES)]
    turns = []
    for factory in factories:
        with asyncio.Runner(loop_factory=factory) as runner:
            turns.append(runner.run(_turn(url, messages)))
    return turns


async def _turn(url: str, messages: Sequence[bytes]) -> Turn:
    ours = await Ours.connect(url)
    try:
        return await ours.turn(messages)
    finally:
        await ours.close()


def to_figures(rounds: Sequence[Sequence[Turn]]) -> list[Figure]:
    """From the turns of uvloop and of asyncio in each round."""
    figures = []
    for verb, field in _VERBS.items():
        times = [(getattr(uv, field), getattr(own, field)) for uv, own in rounds]
        megabytes = _SIZE * _NUM_MESSAGES / 1e6
        how = (
            f"sync_interval default; {megabytes / median(uv for uv, _ in times):.0f} against "
            f"{megabytes / median(own for _, own in times):.0f} MB/s; 1.2 would be worth it"
        )
        ratios = [own / uv for uv, own in times]
        name = _NAME.format(verb=verb)
        figures.append(of_rounds(ratios, name=name, unit="x", aim="1.2", how=how))
    return figures
