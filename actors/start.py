"""Runs an actor as a process: servers, engine, signals, exit status.

The first SIGTERM or Ctrl-C drains, a second one stops at once; what is then finished but not
published is on disk, and the next start publishes it.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from actors.arrival import arrive, not_let_in
from actors.engine import Engine
from actors.grant_client import GrantClient
from actors.groups import Groups
from actors.identity import home_of
from actors.instance_lock import instance_lock
from actors.membership import Membership
from actors.probe import THRESHOLDS, check_probe
from actors.report import Report
from actors.screens import Screen
from actors.status import Status
from actors.wiring import Outside, wire_daemon
from broker.policies.download import open_http
from broker.policies.fetch import PolicyFetcher
from broker.program.signals import stop_on_signals
from environments.catalogue import open_pinned
from schemas.errors import NotLetIn, PermissionDenied, UserError
from schemas.settings import ActorSettings

if TYPE_CHECKING:
    from actors.torch_engine import TorchEngine

_STOPPED_AT_ONCE: Final = 1

MakeGroups = Callable[[Engine, Status], Groups]

_log = structlog.get_logger(__name__)


def run_actor(
    membership: Membership,
    settings: ActorSettings,
    screen: Screen,
    make_groups: MakeGroups = Groups,
) -> int:
    """Run an actor until it is told to stop; returns its exit status.

    Raises:
        UserError: another actor works in this home, the run's environment is not the one that is
            installed here, its address is none, or the key is not allowed.
    """
    with instance_lock(home_of(settings)), screen:
        try:
            asyncio.run(_run(membership, settings, screen, make_groups))
        except asyncio.CancelledError:
            _log.warning("stopped at once")
            return _STOPPED_AT_ONCE
    return 0


async def _run(
    membership: Membership, settings: ActorSettings, screen: Screen, make_groups: MakeGroups
) -> None:
    home, card, actor = home_of(settings), membership.card, membership.actor
    open_pinned(card.environment)
    stop = stop_on_signals()
    show = partial(_show, screen, stop)
    async with AsyncExitStack() as stack:
        # Importing torch takes seconds, in which signals are to be heard.
        engine = await asyncio.to_thread(_open_engine, settings)
        stack.push_async_callback(engine.close)
        broker = await arrive(membership, stop, show)
        if broker is None:
            return
        stack.push_async_callback(broker.close)
        http = await stack.enter_async_context(open_http())
        fetcher = PolicyFetcher(
            run=card.run,
            run_key=card.run_key,
            grant=GrantClient(broker, card.run, actor).urls,
            cache=home / "policies",
            http=http,
        )
        status = Status(lambda: broker.connected)
        outside = Outside(
            broker=broker,
            fetch=fetcher.fetch,
            engine=engine,
            check_probe=partial(check_probe, threshold=THRESHOLDS[engine.profile.track]),
        )
        groups = make_groups(engine, status)
        daemon = wire_daemon(card, settings, actor, home, outside, groups, status)
        _log.info("actor", run=card.run, id=actor, home=str(home))
        try:
            await daemon.run(stop, show)
        except ExceptionGroup as failures:
            if failures.subgroup((PermissionDenied, NotLetIn)) is None:
                raise
            raise not_let_in(actor) from failures


def _show(screen: Screen, stop: asyncio.Event, report: Report) -> None:
    """Show a report; when nobody reads any more, finish what is in hand and end."""
    try:
        screen.show(report)
    except BrokenPipeError:
        # What is written from now on, by the interpreter's end too, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        stop.set()


def _open_engine(settings: ActorSettings) -> "TorchEngine":
    try:
        from actors.torch_engine import TorchEngine
    except ImportError as error:
        raise UserError(
            f"the engine needs {error.name}, which is not installed: install tributary-rl[torch]"
        ) from None
    return TorchEngine(
        dtype=settings.dtype, max_sequences=settings.max_sequences, num_threads=settings.num_threads
    )
