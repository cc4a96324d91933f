"""How many more groups may be asked for, and how fresh they must be.

Counted in groups; one row is one group. With v the last announced version, eta the staleness limit
and B the groups of a batch, at most (v + eta + 1) x B groups can be used without any of them being
too old (the rate limit of AReaL, floor((N_r - 1) / B) <= v + eta). So

    capacity = (v + eta + 1) x B - rows in all cut batches - waiting with signal - outstanding
"""

from learner.coordinator.state import RunState
from schemas.settings import RunSettings


def capacity(state: RunState, settings: RunSettings, version: int) -> int:
    """Groups that may still be leased while `version` is the last announced one; may be negative
    after groups were refused and leased again."""
    usable = (version + settings.leases.max_staleness + 1) * settings.batch.num_groups
    needed = settings.trainer.num_steps * settings.batch.num_groups
    return min(usable, needed) - _in_line(state)


def least_version(state: RunState, settings: RunSettings, version: int, *, ahead: int = 0) -> int:
    """The oldest version that the next leased group may be sampled with, `ahead` others being
    handed out before it.

    Its place in the line says in which batch s it will land, so it needs version >= s - 1 - eta.
    Where that can be had it is asked for one version more, since groups overtake each other.
    """
    step = (_in_line(state) + ahead) // settings.batch.num_groups + 1
    return min(version, max(0, step - settings.leases.max_staleness))


def _in_line(state: RunState) -> int:
    return state.num_rows + len(state.waiting) + len(state.open_leases)
