"""What the demo plays on: a fresh folder, both servers, an opened run, and who works for it."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import structs

from broker.embedded import servers
from broker.program.process import free_ports, last_line
from learner.demo import cast, plan
from learner.demo.folder import servers_folder
from learner.demo.joining import invite, join
from learner.demo.phases import Phase
from learner.demo.players import Process, run_to_end
from learner.demo.screen import Screen
from learner.demo.server import Server, open_nats, open_s3
from learner.events import ActorNamed, EventLog
from learner.run_folder import RunFolder
from schemas import names
from schemas.errors import TributaryError
from schemas.resolve import to_toml
from schemas.settings import LearnerSettings

GATE: Final = "gate"
_SFT_STEP: Final = re.compile(r"step \d+ of .*, reward (\d\.\d+) of \S+")


class Stage:
    """One demo's servers and files. The folder is the caller's to clean and to hold."""

    def __init__(self, settings: LearnerSettings) -> None:
        self.settings = settings
        self.folder = RunFolder(settings)
        self.folder.logs.mkdir(parents=True)
        self.events = EventLog(self.folder.events)
        self.actors: dict[str, str] = {}
        """Ids to names."""
        self.ids: dict[str, str] = {}
        """Names to ids."""
        self._servers = servers_folder(self.folder.path)

    async def start_servers(self, say: Callable[[str], None]) -> list[Server]:
        """Start both servers; they die with the thread that calls this.

        `say` takes a line when one of them ends unasked.
        """
        started = servers.launch(self._servers, *free_ports(2), accounts=True, detached=False)
        try:
            await asyncio.to_thread(servers.wait, self._servers, started)
        except BaseException:
            servers.kill(started)
            raise
        self.settings = structs.replace(self.settings, connection=started.connection())
        self.folder.settings.write_text(to_toml(self.settings), encoding="utf-8")
        return [open_(self._servers, self.events, say) for open_ in (open_nats, open_s3)]

    def stop_servers(self) -> None:
        """Stop what runs of them."""
        with contextlib.suppress(TributaryError):
            servers.down(self._servers)

    async def open_run(self, screen: Screen) -> None:
        """Make the initial policy by supervised fine-tuning, and open the run with it."""
        target = self.settings.sft.target_reward

        def show(line: str) -> None:
            if found := _SFT_STEP.search(line):
                share = min(1.0, float(found[1]) / target) if target else 1.0
                screen.progress(Phase.SFT, share, found[0])

        log = self.log("open")
        command = cast.learner("open", "@", str(self.folder.settings))
        if await run_to_end(command, log, show):
            raise TributaryError(f"the run was not opened: {last_line(log)}")

    def lab(self) -> list[Process]:
        """The operator's own daemons, which are kept running."""
        settings = self.folder.settings
        commands = {
            names.COORDINATOR: cast.learner(names.COORDINATOR, "@", str(settings)),
            names.TRAINER: cast.learner(names.TRAINER, "@", str(settings)),
            GATE: cast.gate(self.settings.name, settings),
        }
        return [
            Process(name, command, self.log(name), self.events)
            for name, command in commands.items()
        ]

    def contributors(self) -> list[Process]:
        """The actors, which are kept running; each joins first."""
        return [self._contributor(name) for name in plan.ACTORS]

    def _contributor(self, name: str) -> Process:
        make = cast.liar if name == plan.LIAR else cast.actor
        command = make(self.settings.name, self.home(name))
        return Process(name, command, self.log(name), self.events, partial(self._let_in, name))

    async def _let_in(self, name: str) -> None:
        """Invite somebody, write down who he is, and have him join."""
        log = self.log(name)
        invited = await invite(name, self.settings.name, self.folder.settings, log)
        self.ids[name], self.actors[invited.actor] = invited.actor, name
        self.events.write(ActorNamed(actor=invited.actor, name=name, honest=name != plan.LIAR))
        await join(invited, self.home(name), log)

    def home(self, actor: str) -> Path:
        return self.folder.path / "actors" / actor

    def log(self, who: str) -> Path:
        return self.folder.logs / f"{who}.log"
