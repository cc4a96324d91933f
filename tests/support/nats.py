"""A nats-server of one test, which may be killed, and whose folder may be spoiled."""

import os
import signal
from pathlib import Path

from broker.embedded import nats_server
from broker.jetstream import NatsBroker
from broker.program.process import free_port, is_running, stop


class Server:
    def __init__(self, folder: Path, extra: str = "") -> None:
        """`extra` is added to its configuration."""
        self.folder, self.port = folder, free_port()
        folder.mkdir(exist_ok=True)
        nats_server.write_config(folder, self.port)
        with open(folder / "nats.conf", "a") as config:
            config.write(extra)

    def start(self) -> "Server":
        self.process = nats_server.launch(self.folder, detached=False)
        nats_server.wait(self.folder, self.process, self.port)
        return self

    def signal(self, word: signal.Signals) -> None:
        os.kill(self.process.pid, word)
        if word is signal.SIGSTOP:
            os.waitpid(self.process.pid, os.WUNTRACED)  # Until all of its threads stand still.

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        stop(self.process, grace_s=5)

    def stop(self) -> None:
        stop(self.process, grace_s=10)

    def close(self) -> None:
        if is_running(self.process):
            self.kill()

    @property
    def said(self) -> str:
        """Its log."""
        return (self.folder / "nats.log").read_text()

    async def connect(self, user: str = "") -> NatsBroker:
        url = f"nats://{user}{'@' if user else ''}127.0.0.1:{self.port}"
        return await NatsBroker.connect(url, name="test")
