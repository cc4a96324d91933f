"""What the daemons of a run say about themselves: their last heartbeats, and who waits for whom.

Heartbeats are words of strangers. Each is bounded, must be of whom its subject says, and beyond so
many senders no new one is listened to. Nothing is decided from them: they are for screens only.
"""

import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from schemas import names
from schemas.errors import Rejected
from schemas.heartbeat import Heartbeat, State
from schemas.wire import decode

_MAX_HEARTBEAT_BYTES: Final = 4 << 10
_SILENT_S: Final = 5.0
"""Who has said nothing for so long is not known to do anything."""


class Seen(Struct, frozen=True, kw_only=True):
    """The last heartbeat of somebody."""

    heartbeat: Heartbeat
    at: float
    """Seconds on the clock of who listens."""


class Heard:
    """The last heartbeat of everybody."""

    def __init__(self, *, max_senders: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.seen: dict[str, Seen] = {}
        self._max_senders = max_senders
        self._clock = clock

    def take(self, subject: str, data: bytes) -> bool:
        """Take a heartbeat, if it is one and is of whom its subject says; whether it was."""
        try:
            heartbeat = decode(data, Heartbeat, max_wire_bytes=_MAX_HEARTBEAT_BYTES)
        except Rejected:
            return False
        who = names.last_token(subject)
        is_one_too_many = who not in self.seen and len(self.seen) >= self._max_senders
        if heartbeat.who != who or is_one_too_many:
            return False
        self.seen[who] = Seen(heartbeat=heartbeat, at=self._clock())
        return True

    def word_of(self, who: str) -> Heartbeat | None:
        """What somebody says; None when he has said nothing for a while."""
        seen = self.seen.get(who)
        if seen is None or self._clock() - seen.at > _SILENT_S:
            return None
        return seen.heartbeat

    def state_of(self, who: str) -> State | None:
        """What somebody says he does; None when he has said nothing for a while."""
        word = self.word_of(who)
        return word.state if word else None


def who_waits(heard: Heard) -> str:
    """Who waits for whom, in words; a part of them is the coordinator's own."""
    trainer, coordinator = heard.word_of(names.TRAINER), heard.word_of(names.COORDINATOR)
    if trainer is None or coordinator is None:
        away = [
            who
            for who, word in ((names.COORDINATOR, coordinator), (names.TRAINER, trainer))
            if word is None
        ]
        return f"no word of the {' and the '.join(away)}"
    match coordinator.state, trainer.state:
        case State.FINISHED, _:
            return "nobody: the last batch is cut"
        case State.WAITING_FOR_GROUPS, State.WAITING_FOR_BATCH:
            return f"trainer and coordinator wait for the actors: {coordinator.waiting_for}"
        case State.WAITING_FOR_GROUPS, _:
            return "trainer trains; coordinator waits for the actors"
        case State.WAITING_FOR_POLICY, _:
            return "batches are ready; coordinator and actors wait for the trainer"
    return f"trainer: {trainer.state}; coordinator: {coordinator.state}"
