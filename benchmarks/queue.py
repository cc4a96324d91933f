"""Messages through our publisher and consumer against bare nats-py, a raw socket, and Redis.

Random bytes of one size are stored, 16 at a time, and then all of them are taken out again and
confirmed to be gone; `benchmarks.sides` says what each side does for that. All servers run at once
and all sides take turns, so a ratio compares what was measured in the same seconds. The servers,
the three of a cluster among them, and the clients share the cores of this machine.
"""

import asyncio
import contextlib
import importlib.util
import os
from collections.abc import Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks import stand
from benchmarks.sides import WINDOW, Bare, Ours, RawSocket, Redis, Side, Turn
from benchmarks.table import Figure, missing, of_rounds

_SIZES: Final = {64 << 10: 512, 256 << 10: 128, 1 << 20: 32}
"""Bytes of a message -> messages of a round."""
_MIDDLE: Final = 256 << 10
"""The size for which all sides take turns; for the others, ours, bare and the socket do."""
OURS, BARE, SOCKET = "ours", "bare nats-py", "raw socket"
LAZY, THREE = "ours, default sync", "ours, R3"
REDIS: Final = {"always": "Redis, always", "everysec": "Redis, everysec"}
_NO_REDIS: Final = (
    "redis-server or its client is missing: apt-get install redis-server; pip install '.[bench]'"
)


class Pair(NamedTuple):
    """A ratio: how fast the first is, the second being 1."""

    name: str
    first: str
    second: str
    publish_aim: str
    pull_aim: str
    how: str


_ALWAYS: Final = "both at sync_interval always; ours names what it publishes by its SHA-256"
_EACH_SIZE: Final = (
    Pair("ours / bare nats-py", OURS, BARE, "0.9", "0.9", _ALWAYS),
    Pair("ours / raw socket", OURS, SOCKET, "-", "-", "sync_interval always"),
)
_AT_THE_MIDDLE: Final = (
    Pair("sync always / default", OURS, LAZY, "-", "-", "both ours"),
    Pair("R3 / R1", THREE, OURS, "-", "-", "both ours, sync_interval always; three servers"),
)
_WITH_REDIS: Final = (
    Pair(
        "ours / Redis streams, sync always",
        OURS,
        REDIS["always"],
        "-",
        "-",
        "appendfsync always; redis-py and hiredis; what is acknowledged stays in its stream",
    ),
    Pair(
        "ours / Redis streams, sync now and then",
        LAZY,
        REDIS["everysec"],
        "-",
        "-",
        "sync_interval default against appendfsync everysec; otherwise as above",
    ),
)


def measure(num_rounds: int = 11) -> list[Figure]:
    return asyncio.run(_measure(num_rounds))


async def _measure(num_rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    async with contextlib.AsyncExitStack() as stack:
        sides = await _open(stack)
        for size, num_messages in _SIZES.items():
            chosen = (
                sides if size == _MIDDLE else {name: sides[name] for name in (OURS, BARE, SOCKET)}
            )
            turns = await _take_turns(chosen, size, num_messages, num_rounds)
            pairs = (*_EACH_SIZE, *_AT_THE_MIDDLE) if size == _MIDDLE else _EACH_SIZE
            figures += to_figures(turns, pairs, size, num_messages)
            if size == _MIDDLE:
                figures += _redis_figures(turns, size, num_messages)
    return figures


async def _open(stack: contextlib.AsyncExitStack) -> dict[str, Side]:
    """Every side, with its server."""
    one = stack.enter_context(stand.running_cluster(1))
    lazy = stack.enter_context(stand.running_lazy_nats())
    three = stack.enter_context(stand.running_cluster(3))
    sides: dict[str, Side] = {
        OURS: await Ours.connect(one),
        BARE: await Bare.connect(one),
        SOCKET: RawSocket(),
        LAZY: await Ours.connect(lazy),
        THREE: await Ours.connect(three, num_replicas=3),
    }
    if stand.find_redis() and importlib.util.find_spec("redis"):
        for appendfsync, name in REDIS.items():
            port = stack.enter_context(stand.running_redis(appendfsync))
            sides[name] = await Redis.connect(port)
    for side in sides.values():
        stack.push_async_callback(side.close)
    return sides


async def _take_turns(
    sides: dict[str, Side], size: int, num_messages: int, num_rounds: int
) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    for number in range(num_rounds + 1):
        messages = [os.urandom(size) for _ in range(num_messages)]
        for name, side in sides.items():
            turn = await side.turn(messages)
            if number:  # The first round warms up.
                turns[name].append(turn)
    return turns


def to_figures(
    turns: dict[str, list[Turn]], pairs: Sequence[Pair], size: int, num_messages: int
) -> list[Figure]:
    """A row for storing and one for taking out, of each pair."""
    figures = []
    for pair in pairs:
        for verb, field, aim in (
            ("publish", "publish_s", pair.publish_aim),
            ("pull", "pull_s", pair.pull_aim),
        ):
            first, second = (
                [getattr(turn, field) for turn in turns[name]] for name in (pair.first, pair.second)
            )
            megabytes = size * num_messages / 1e6
            how = (
                f"{pair.how}; {megabytes / median(first):.0f} against "
                f"{megabytes / median(second):.0f} MB/s, {WINDOW} under way"
            )
            ratios = [theirs / ours for ours, theirs in zip(first, second, strict=True)]
            name = _row(verb, size, pair)
            figures.append(of_rounds(ratios, name=name, unit="x", aim=aim, how=how))
    return figures


def _redis_figures(turns: dict[str, list[Turn]], size: int, num_messages: int) -> list[Figure]:
    if REDIS["always"] in turns:
        return to_figures(turns, _WITH_REDIS, size, num_messages)
    return [
        missing(_row(verb, size, pair), unit="x", aim="-", how=_NO_REDIS)
        for pair in _WITH_REDIS
        for verb in ("publish", "pull")
    ]


def _row(verb: str, size: int, pair: Pair) -> str:
    return f"queue: {verb} of {size >> 10} KiB, {pair.name}"
