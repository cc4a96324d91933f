"""Chooses among messages by what the log knows of them and, where that is not enough, by bytes."""

import contextlib
import functools
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from broker.look.conditions import Condition
from broker.look.fields import REASONS, Looked, fields
from broker.look.held import Held, Holder, read_group
from broker.look.message import Message, Messages
from broker.look.sight import Context, Sight, sight_of
from broker.look.where import parse
from broker.parallel import run_all
from schemas.errors import Rejected, UserError
from schemas.listed import listed
from schemas.nearest import nearest

_AT_ONCE: Final = 16
"""Messages whose bytes are read side by side."""
_SHORTENED: Final = "…"
"""Ends an actor's id on our screens."""


class Chosen(Struct, frozen=True, kw_only=True):
    """Which messages are meant; what is empty leaves out none."""

    actor: str = ""
    """An id, or how it begins."""
    reason: str = ""
    """Why they were refused, in a word."""
    where: str = ""
    """A condition, see `broker.look.where`."""

    def __bool__(self) -> bool:
        return bool(self.actor or self.reason or self.where)


class Search:
    """Looks at one message after the other until enough are found."""

    def __init__(
        self, messages: Messages, holder: Holder, context: Context, chosen: Chosen
    ) -> None:
        """
        Raises:
            UserError: there is no such reason or field, or the condition is none.
        """
        self._messages = messages
        self._holder = holder
        self._context = context
        self._actor = chosen.actor.removesuffix(_SHORTENED)
        self._reason = _checked_reason(chosen.reason)
        self._condition = _condition(chosen.where, messages) if chosen.where else None
        self._now = time.time()
        self._actor_found = False
        self.num_unseen = 0
        """Messages that the condition could not look into: their bytes were not kept."""

    async def first(self, candidates: AsyncIterator[Message], *, count: int) -> list[Sight]:
        """The first `count` that are meant, in the opposite order.

        Raises:
            UserError: the condition needs bytes, and object storage is away.
        """
        found: list[Sight] = []
        some: list[Message] = []
        most = _AT_ONCE if self._condition else min(_AT_ONCE, count)
        async for message in candidates:
            if self._may_be(message):
                some.append(message)
            if len(some) == most:
                found += await self._look(some)
                some = []
            if len(found) >= count:
                break
        found += await self._look(some)
        return found[:count][::-1]

    def check_actor(self) -> None:
        """Raises UserError when no message is by the actor that was named."""
        if not self._actor:
            return
        known = {message.actor for message in self._messages}
        known |= {lease.actor for lease in self._messages.tally.leases.values()}
        if self._actor_found or any(actor.startswith(self._actor) for actor in known):
            return
        begins = {actor[: len(self._actor)]: actor for actor in sorted(known)}
        near = begins.get(nearest(self._actor, begins) or "")
        there = listed(sorted(known)[:8], "and") or "nobody yet"
        meant = f"the nearest is {near}" if near else f"there is {there}"
        raise UserError(f"nothing is by an actor {self._actor[:80]!r}; {meant}")

    def _may_be(self, message: Message) -> bool:
        """By what is known without its bytes."""
        if not message.actor.startswith(self._actor):
            return False
        self._actor_found = True
        if self._reason and message.reason != self._reason:
            return False
        return self._condition is None or self._condition.may_hold(self._looked(message))

    def _looked(self, message: Message, held: Held | None = None) -> Looked:
        newest = self._context.announced
        looked = Looked(message=message, newest=newest.version if newest else None, now=self._now)
        if held is None:
            return looked
        looked = replace(looked, is_read=True)
        if held.missing:
            return looked
        group = None
        with contextlib.suppress(Rejected):
            group = read_group(held.data, self._context.vocabulary_size)
        return replace(looked, num_bytes=len(held.data), group=group)

    async def _look(self, messages: Sequence[Message]) -> list[Sight]:
        jobs = [functools.partial(self._look_at, message) for message in messages]
        return [sight for sight in await run_all(jobs, at_once=_AT_ONCE) if sight is not None]

    async def _look_at(self, message: Message) -> Sight | None:
        held = await self._holder.read(message)
        condition = self._condition
        if condition is not None and not condition.holds(self._looked(message)):
            if held.missing:
                if held.missing == self._holder.away:
                    raise UserError(f"--where needs the bytes of {message.id}; {held.missing}")
                self.num_unseen += 1
            if not condition.holds(self._looked(message, held)):
                return None
        return sight_of(message, held, self._context)


def _checked_reason(reason: str) -> str:
    if reason and reason not in REASONS:
        near = nearest(reason, REASONS)
        meant = f"the nearest is {near}" if near else f"it is {listed(sorted(REASONS), 'or')}"
        raise UserError(f"nothing is refused for {reason[:80]!r}; {meant}")
    return reason


def _condition(where: str, messages: Messages) -> Condition:
    """The condition; the figures of rollouts are named as the log names them."""
    parts = {part.name for message in messages if message.event for part in message.event.parts}
    return parse(where, fields(parts))
