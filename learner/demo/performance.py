"""The run itself: everybody works, somebody is killed, until the last step has a policy.

consumes   both logs and the heartbeats
produces   metrics.jsonl, the live screen, kills by plan
waits for  the last step, a process that is lost, or the limit
"""

import asyncio
import functools
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct

from broker.login import OPERATOR, login
from learner.demo.plan import Kill
from learner.demo.players import Player, PlayerLost, Process
from learner.demo.screen import Screen
from learner.demo.server import Server
from learner.demo.stage import Stage
from learner.demo.strikes import Strikes
from learner.demo.watch import Watch
from learner.metrics import StepFigures, to_line
from learner.metrics_file import follow_steps

_LIMIT_S: Final = 900.0
"""A run that takes longer has come to a halt."""
_GRACE_S: Final = 20.0
_REDRAW_S: Final = 1.0
"""At least so often, because silence is shown too."""


class Performance(Struct, frozen=True, kw_only=True):
    """What only the demo has seen."""

    planned: Sequence[str]
    """Who was to be killed."""
    came_back: Sequence[str]
    died: Sequence[str]


async def perform(
    stage: Stage, servers: Sequence[Server], screen: Screen, kills: Sequence[Kill]
) -> Performance:
    """Run to the last step, kill whom the plan says, and tell everybody to stop."""
    watch = Watch(stage.settings.trainer.num_steps)
    lab, contributors = stage.lab(), stage.contributors()
    processes = (*lab, *contributors)
    players: dict[str, Player] = {each.name: each for each in (*servers, *processes)}
    strikes = Strikes(kills, watch, players, stage.ids, screen)
    run = stage.settings.name
    broker = await login(stage.settings.connection, *OPERATOR, run=run, name="demo")
    try:
        async with asyncio.timeout(_LIMIT_S):
            with stage.folder.metrics.open("wb") as metrics:
                take = functools.partial(_take, metrics, watch, screen)
                await _until_first(
                    follow_steps(broker, run, on_step=take, on_item=watch.take_item),
                    watch.listen(broker, run),
                    _keep_looking(watch, screen),
                    strikes.run(),
                    *(each.run() for each in (*servers, *processes)),
                )
    except TimeoutError:
        screen.say(f"the run has come to a halt at step {watch.step}")
    except PlayerLost as lost:
        screen.say(str(lost))
    finally:
        screen.look(watch)
        try:
            await _stop(contributors, lab)
        finally:
            await broker.close()
    died = [
        f"{each.name} (status {status})"
        for each in (*servers, *processes)
        for status in each.deaths
    ]
    return Performance(planned=[kill.who for kill in kills], came_back=strikes.came_back, died=died)


def _take(metrics: Any, watch: Watch, screen: Screen, figures: StepFigures) -> None:
    metrics.write(to_line(figures))
    metrics.flush()
    watch.take_step(figures)
    screen.step(figures)


async def _keep_looking(watch: Watch, screen: Screen) -> None:
    while True:
        screen.look(watch)
        await watch.change(timeout_s=_REDRAW_S)


async def _stop(contributors: Sequence[Process], lab: Sequence[Process]) -> None:
    """Let everybody end what is in hand, or kill them all when this is cancelled.

    Actors end first: what they finish is still judged.
    """
    try:
        for some in (contributors, lab):
            await asyncio.gather(*(each.stop(grace_s=_GRACE_S) for each in some))
    finally:
        await asyncio.gather(*(each.stop(grace_s=0) for each in (*contributors, *lab)))


async def _until_first(
    main: Coroutine[Any, Any, object], *others: Coroutine[Any, Any, object]
) -> None:
    """Run all side by side until the first one ends; any failure ends them too."""
    tasks = [asyncio.create_task(each) for each in (main, *others)]
    running = set(tasks)
    try:
        while not tasks[0].done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
