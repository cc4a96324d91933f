"""Kills whom the plan says, when it says so, and sees to it that they come back.

consumes   the watch
produces   SIGKILLs, and word of who came back
waits for  the step, then the victim to be in the middle of work, then for its next life to work
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from learner.demo.plan import ACTORS, Kill, step_of
from learner.demo.players import Player
from learner.demo.screen import Screen
from learner.demo.watch import Watch
from learner.events import Killed


class Strikes:
    """All kills of one demo."""

    def __init__(
        self,
        kills: Sequence[Kill],
        watch: Watch,
        players: Mapping[str, Player],
        ids: Mapping[str, str],
        screen: Screen,
    ) -> None:
        """`players` by name; `ids` maps the names of the actors that have come to their ids."""
        self.came_back: list[str] = []
        self._kills = kills
        self._watch = watch
        self._players = players
        self._ids = ids
        self._screen = screen

    async def run(self) -> None:
        """Strike everybody on the plan; returns when all are back."""
        await asyncio.gather(*(self._strike(kill) for kill in self._kills))

    async def _strike(self, kill: Kill) -> None:
        watch, step = self._watch, step_of(kill, self._watch.num_steps)
        await watch.until(lambda: watch.step >= step)
        if kill.who in ACTORS:
            await watch.until(lambda: watch.state_of(self._ids.get(kill.who, "")) is not None)
        who = self._ids.get(kill.who, kill.who)
        await asyncio.sleep(kill.after_s)
        if kill.during is not None:
            await watch.until(lambda: watch.state_of(who) is kill.during)
        doing = watch.state_of(who) or ""
        killed = Killed(time=time.time(), who=kill.who, step=watch.step, doing=doing)
        self._screen.say(f"SIGKILL to {kill.who}{doing and f', {doing},'} after step {watch.step}")
        await self._players[kill.who].kill(killed)
        await watch.until(lambda: watch.deeds.back_at_work(who, killed.time) is not None)
        self.came_back.append(kill.who)
        back = watch.deeds.back_at_work(who, killed.time)
        assert back is not None, "what a log says stays said"
        self._screen.say(f"{kill.who} is back at work after {back - killed.time:.1f} s")
