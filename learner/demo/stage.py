"""What the demo plays on: a fresh folder, both servers, keys of the actors, and an opened run."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import structs

from broker.embedded import servers
from broker.program.process import free_ports, last_line
from learner.demo import cast, plan
from learner.demo.folder import servers_folder
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
        self._servers = servers_folder(self.folder.path)

    async def start_servers(self, say: Callable[[str], None]) -> list[Server]:
        """Start both servers; they die with the thread that calls this.

        `say` takes a line when one of them ends unasked.
        """
        started = servers.launch(self._servers, *free_ports(2), detached=False)
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

    async def name_actors(self) -> None:
        """Let every actor make its key, and write down who is who."""
        for name in plan.ACTORS:
            said: list[str] = []
            log = self.log(name)
            if await run_to_end(cast.actor_id(self.home(name)), log, said.append):
                raise TributaryError(f"{name} has no key: {last_line(log)}")
            self.actors[said[-1]] = name
            self.events.write(ActorNamed(actor=said[-1], name=name, honest=name != plan.LIAR))

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

    def processes(self) -> list[Process]:
        """Everybody that is kept running: the learner's two first, then the actors."""
        settings, card = ("@", str(self.folder.settings)), self.folder.card
        commands = {
            names.COORDINATOR: cast.learner(names.COORDINATOR, *settings),
            names.TRAINER: cast.learner(names.TRAINER, *settings),
            **{name: cast.actor(card, self.home(name)) for name in plan.HONEST},
            plan.LIAR: cast.liar(card, self.home(plan.LIAR)),
        }
        return [
            Process(name, command, self.log(name), self.events)
            for name, command in commands.items()
        ]

    def home(self, actor: str) -> Path:
        return self.folder.path / "actors" / actor

    def log(self, who: str) -> Path:
        return self.folder.logs / f"{who}.log"
