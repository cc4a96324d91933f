"""The whole demo, from an empty folder to checked promises.

    stage        servers up, initial policy, run opened
    performance  coordinator, trainer, gate, three honest actors and a liar work; kills by plan
    ending       audit and replay, report, summary

Whatever happens, nothing is left running: every process dies with this one.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from broker.program.entry import INTERRUPTED
from broker.program.signals import stop_on_signals
from learner.demo.ending import end, summary
from learner.demo.folder import take_folder
from learner.demo.performance import perform
from learner.demo.plan import KILLS, Kill
from learner.demo.promises import holds
from learner.demo.screen import Screen, open_screen
from learner.demo.stage import Stage
from learner.events import Checked
from learner.run_folder import RunFolder
from schemas.errors import TributaryError
from schemas.settings import LearnerSettings

_STOPPING: Final = (
    "stopping: waits for everybody to end what is in hand, and for the servers; "
    "a second Ctrl-C kills all at once"
)


def run_demo(settings: LearnerSettings) -> int:
    """Show everything, and return the exit status: 0 when every promise held.

    Raises:
        UserError: the folder is in use or is no demo's, or a server does not come up.
    """
    with take_folder(RunFolder(settings).path):
        stage = Stage(settings)
        screen = open_screen(stage.actors)
        try:
            with asyncio.Runner() as runner:
                checks = runner.run(show(stage, screen, KILLS))
        except (asyncio.CancelledError, KeyboardInterrupt):
            screen.say("interrupted; everything is stopped")
            return INTERRUPTED
    for line in summary(stage, checks):
        screen.say(line)
    return 0 if holds(checks) else 1


async def show(stage: Stage, screen: Screen, kills: Sequence[Kill]) -> Sequence[Checked]:
    """Everything between an empty folder and the checks; nothing is left running.

    The first SIGINT or SIGTERM cancels it, and the second cancels the waiting for who is to end.
    """
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        screen.say(_STOPPING)
        task.cancel()

    interrupted = stop_on_signals(interrupt)
    with screen:
        try:
            return await _show(stage, screen, kills)
        except TributaryError:
            # Of what is interrupted something may fail.
            if interrupted.is_set():
                raise asyncio.CancelledError from None
            raise
        finally:
            await asyncio.to_thread(stage.stop_servers)


async def _show(stage: Stage, screen: Screen, kills: Sequence[Kill]) -> Sequence[Checked]:
    screen.say("starting the servers")
    servers = await stage.start_servers(screen.say)
    screen.say("making the initial policy by supervised fine-tuning")
    await stage.open_run(screen)
    screen.say("coordinator, trainer and gate; three honest actors and a liar, each invited")
    performance = await perform(stage, servers, screen, kills)
    screen.say("the run is over: audit and replay, each in a process of its own")
    return await end(stage, performance, screen)
