"""The gate as a process: `broker gate`.

consumes   requests to join, what accounts have sent
produces   accounts, users, revocations
waits for  the server: half a minute at its start, then for ever; SIGTERM or Ctrl-C
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from broker.accounts.access import find_credentials
from broker.accounts.keyring import Keyring
from broker.accounts.resolver import push_account
from broker.accounts.rights import Role
from broker.accounts.roster import Roster
from broker.gate.admission import Admission
from broker.gate.guard import Guard
from broker.gate.meter import FloodLimits, Meter
from broker.gate.purging import purge_contributor
from broker.gate.traffic import TrafficReader
from broker.jetstream import NatsBroker
from broker.jetstream.connection import NatsConnection
from broker.program.signals import stop_on_signals
from schemas.run_card import RunCard

_CONNECT_S = 30.0

Say = Callable[[str], None]


class Doors(AsyncExitStack):
    """The gate's two connections: one to the run, one to the server's own account."""

    broker: NatsBroker
    system: NatsConnection

    @classmethod
    async def open(cls, url: str, folder: Path, run: str) -> "Doors":
        """Raises ServerMissing, UserError."""
        doors = cls()
        try:
            doors.system = await doors.enter_async_context(open_system(url, folder))
            doors.broker = await NatsBroker.connect(
                url,
                name=f"gate {run}",
                connect_timeout_s=_CONNECT_S,
                credentials=find_credentials(folder, Role.GATE, Role.ADMIN, run=run),
            )
            doors.push_async_callback(doors.broker.close)
        except BaseException:
            await doors.aclose()
            raise
        return doors


@contextlib.asynccontextmanager
async def open_system(url: str, folder: Path) -> AsyncIterator[NatsConnection]:
    """A connection of the system account.

    Raises:
        ServerMissing: no server lets us in.
        UserError: there are no credentials.
    """
    system = NatsConnection()
    credentials = find_credentials(folder, Role.SYSTEM)
    await system.connect(url, name="operator", timeout_s=_CONNECT_S, credentials=credentials)
    try:
        yield system
    finally:
        await system.link.close()


async def serve_gate(url: str, folder: Path, card: RunCard, limits: FloodLimits, say: Say) -> None:
    """Keep the gate of a run until SIGTERM or SIGINT.

    `folder` holds the operator's keys; `card` is what a contributor of the run is given.

    Raises:
        ServerMissing: no server lets us in.
        UserError: the folder lacks what is needed.
        NotLetIn: the servers do not let the gate in any more.
    """
    stop = stop_on_signals()
    keyring, roster = Keyring.load(folder), Roster(folder / "contributors")
    async with await Doors.open(url, folder, card.run) as doors:
        push = partial(push_account, doors.system)
        traffic = TrafficReader(doors.system)
        await traffic.begin()
        admission = Admission(card, keyring, roster, push)
        guard = Guard(
            run=card.run,
            keyring=keyring,
            roster=roster,
            push_account=push,
            traffic=traffic,
            meter=Meter(limits),
            purge=partial(purge_contributor, doors.broker),
        )
        await admission.let_in_all()
        await admission.serve(doors.broker)
        say(f"The gate of run {card.run} is open; Ctrl-C closes it.")
        try:
            async with asyncio.TaskGroup() as tasks:
                loops = [tasks.create_task(guard.watch()), tasks.create_task(guard.clean_up())]
                await stop.wait()
                for loop in loops:
                    loop.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
    say(f"The gate of run {card.run} is closed.")
