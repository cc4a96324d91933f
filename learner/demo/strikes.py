"""Kills whom the plan says, when it says so, and sees to it that they come back.

consumes   the watch
produces   SIGKILLs, and word of who came back
waits for  the step, then the victim to be in the middle of work, then a sign of its next life
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from learner.demo.plan import Kill, step_of
from learner.demo.players import Player
from learner.demo.screen import Screen
from learner.demo.watch import Watch


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
        """`players` by name; `ids` maps the names of actors to their ids."""
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
        watch, who = self._watch, self._ids.get(kill.who, kill.who)
        step = step_of(kill, watch.num_steps)
        await watch.until(lambda: watch.step >= step)
        await asyncio.sleep(kill.after_s)
        if kill.during is not None:
            await watch.until(lambda: watch.state_of(who) is kill.during)
        doing = str(watch.state_of(who) or "")
        is_back = self._sign_of_life(who)
        began = time.monotonic()
        self._screen.say(f"SIGKILL to {kill.who}{f', {doing},' if doing else ''} at step {step}")
        await self._players[kill.who].kill(step=watch.step, doing=doing)
        await watch.until(is_back)
        self.came_back.append(kill.who)
        self._screen.say(f"{kill.who} is back at work after {time.monotonic() - began:.1f} s")

    def _sign_of_life(self, who: str) -> Callable[[], bool]:
        """What shows that the next life of somebody works."""
        watch = self._watch
        if who in watch.instances:  # an actor: its next process has been given a lease
            before = watch.instances[who]
            return lambda: watch.instances[who] != before
        if who in watch.seen:  # coordinator or trainer: the next instance speaks
            instance = watch.seen[who].heartbeat.instance
            return lambda: watch.seen[who].heartbeat.instance != instance
        # A server says nothing itself, but what is decided and stored next goes through it.
        step = watch.step
        return lambda: watch.step > step + 1
