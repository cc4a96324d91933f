"""The whole demo, from an empty folder to checked promises.

    stage        servers up, initial policy, run opened
    performance  coordinator, trainer, three honest actors and a liar work; kills by plan
    ending       audit and replay, report, summary

Whatever happens, nothing is left running: every process dies with this one.
"""

import asyncio
import signal
from collections.abc import Sequence

from broker.program.entry import INTERRUPTED
from learner.demo.ending import end, summary
from learner.demo.folder import take_folder
from learner.demo.performance import perform
from learner.demo.plan import KILLS, Kill
from learner.demo.promises import holds
from learner.demo.screen import Screen, open_screen
from learner.demo.stage import Stage
from learner.events import Checked
from learner.run_folder import RunFolder
from schemas.settings import LearnerSettings


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
        finally:
            stage.stop_servers()
    for line in summary(stage, checks):
        screen.say(line)
    return 0 if holds(checks) else 1


async def show(stage: Stage, screen: Screen, kills: Sequence[Kill]) -> Sequence[Checked]:
    """Everything between an empty folder and the checks; the servers are left to the caller."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with screen:
        screen.say("starting the servers")
        # In this thread although it blocks: a server dies with the thread that started it.
        servers = stage.start_servers(screen.say)
        await stage.name_actors()
        screen.say("making the initial policy by supervised fine-tuning")
        await stage.open_run(screen)
        screen.say("coordinator, trainer, three honest actors and a liar")
        performance = await perform(stage, servers, screen, kills)
        screen.say("the run is over: audit and replay, each in a process of its own")
        return await end(stage, performance, screen)
