"""What this machine can do as an actor, found out by trying."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.identity import home_of, open_key
from actors.membership import Membership
from actors.reach import reach
from actors.speed import measure_speed
from environments.catalogue import open_pinned
from schemas.errors import SettingsError
from schemas.lease import EnvironmentRef
from schemas.settings import ActorSettings

_MIN_FREE_DISK_MIB: Final = 256
_MIN_FREE_MEMORY_MIB: Final = 512


class Machine(Struct, frozen=True, kw_only=True):
    """This machine as an actor; `problems` are sentences that say what to do."""

    actor: str
    python: str
    engine: str
    """Empty when it is not installed."""
    num_threads: int
    """That the settings allow."""
    num_cores: int
    memory_mib: int
    """Available now; 0: not known on this system."""
    home: str
    disk_mib: int
    """Free where the home is."""
    tokens_per_s: float
    """Of a tiny model of our own, 32 sequences at once; 0: no engine."""
    run: str
    """The run that was tried; empty: none was asked for."""
    run_reached: bool
    """Its broker, its coordinator and its weights."""
    environment: str
    """That the run needs, where it is the one that is installed here; otherwise empty."""
    problems: tuple[str, ...]
    can_contribute: bool


async def check_machine(settings: ActorSettings, membership: Membership | None) -> Machine:
    """Look, and measure.

    Raises:
        UserError: the home cannot be used.
    """
    home = home_of(settings)
    actor = membership.actor if membership else open_key(home).public
    card = membership.card if membership else None
    engine = _engine()
    memory_mib, disk_mib = _available_memory_mib(), shutil.disk_usage(home).free >> 20
    problems = list(_problems(engine, memory_mib, disk_mib))
    tokens_per_s = await measure_speed(settings) if engine else 0.0
    environment, missing = _environment(card.environment) if card else ("", [])
    in_the_way = await reach(membership) if membership else []
    problems += missing + in_the_way
    return Machine(
        actor=actor,
        python=platform.python_version(),
        engine=engine,
        num_threads=settings.num_threads,
        num_cores=len(os.sched_getaffinity(0)),
        memory_mib=memory_mib,
        home=str(home),
        disk_mib=disk_mib,
        tokens_per_s=round(tokens_per_s, 1),
        run=card.run if card else "",
        run_reached=card is not None and not in_the_way,
        environment=environment,
        problems=tuple(problems),
        can_contribute=not problems,
    )


def lines(machine: Machine) -> Iterator[str]:
    """The machine as a person reads of it."""
    memory = f"{machine.memory_mib:,} MiB available" if machine.memory_mib else "unknown"
    yield f"id       {machine.actor}"
    yield f"python   {machine.python}"
    yield f"engine   {machine.engine or 'none'}"
    yield f"threads  {machine.num_threads} of {machine.num_cores} cores (--num_threads)"
    yield f"memory   {memory}"
    yield f"disk     {machine.disk_mib:,} MiB free in {machine.home}"
    yield f"speed    {machine.tokens_per_s:,.0f} tokens/s with a tiny model"
    if machine.environment:
        yield f"tasks    {machine.environment}, installed here as the run needs it"
    if machine.run_reached:
        yield f"run      {machine.run} is reached, and its weights"
    yield from (f"problem  {problem}" for problem in machine.problems)
    yield _summary(machine)


def _summary(machine: Machine) -> str:
    if not machine.can_contribute:
        return "It cannot contribute yet."
    if not machine.run:
        return "It can contribute, as far as it is known without a run: see --run."
    return f"It can contribute to run {machine.run}."


def _environment(ref: EnvironmentRef) -> tuple[str, list[str]]:
    """The run's environment in words, or why it is not the one that is installed here."""
    try:
        open_pinned(ref)
    except SettingsError as error:
        return "", [str(error)]
    return f"{ref.id} version {ref.version} (source digest {ref.digest[:12]})", []


def _engine() -> str:
    try:
        import torch
        import transformers
    except ImportError:
        return ""
    return f"torch {torch.__version__}, transformers {transformers.__version__}"


def _available_memory_mib() -> int:
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    kib = next((row.split()[1] for row in rows if row.startswith("MemAvailable:")), "0")
    return int(kib) >> 10


def _problems(engine: str, memory_mib: int, disk_mib: int) -> Iterator[str]:
    if not engine:
        yield "torch or transformers is not installed: install tributary-rl[torch]"
    if 0 < memory_mib < _MIN_FREE_MEMORY_MIB:
        yield f"less than {_MIN_FREE_MEMORY_MIB} MiB of memory are available"
    if disk_mib < _MIN_FREE_DISK_MIB:
        yield f"less than {_MIN_FREE_DISK_MIB} MiB are free in the actor's home"
