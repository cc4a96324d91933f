"""How many leases one actor may hold at once. Pure.

What is leased takes up capacity until it ends, and before the first step no capacity comes back. So
an actor that has answered nothing yet holds a small part of it, whoever comes first, and one lease
more for each answer, right or wrong: who answers holds nothing up.
"""

import math

from learner.coordinator.cut import hard_cap
from learner.coordinator.state import RunState
from schemas.settings import RunSettings

_FIRST_COMERS = 8
"""So many actors that never answer could take up all that may be under way."""


def allowance(state: RunState, settings: RunSettings, actor: str) -> int:
    """Leases that this actor may hold at once."""
    leases = settings.leases
    under_way = (leases.max_staleness + 1) * settings.batch.num_groups
    at_first = max(1, under_way // _FIRST_COMERS)
    return min(leases.max_open_per_actor, at_first + state.answered[actor])


def hard_cap_in_line(settings: RunSettings) -> float:
    """Groups of one actor, leased or waiting, beyond which a hard cap keeps them out of every batch
    in the window: they are not asked for."""
    if settings.batch.actor_cap >= 1.0:
        return math.inf
    return hard_cap(settings.batch) * (settings.leases.max_staleness + 1)
