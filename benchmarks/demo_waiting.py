"""Share of the demo's wall clock in which the trainer waits for a batch, from its metrics.

It counts from the first step's announcement to the last one's, kills and restarts included.
"""

from pathlib import Path

from benchmarks.table import Figure, missing, of_rounds
from learner.metrics import read_lines

_METRICS = Path("runs/demo/metrics.jsonl")


def measure() -> list[Figure]:
    name, unit, aim = "demo: share of time in which the trainer waits", "", "as low as can be"
    steps = read_lines(_METRICS.read_bytes()) if _METRICS.exists() else []
    if len(steps) < 2:
        return [missing(name, unit=unit, aim=aim, how="run `make demo` first")]
    wall_s = steps[-1].announced_time - steps[0].announced_time
    waited_s = sum(each.trainer.waited_s for each in steps[1:])
    how = f"{len(steps)} steps in {wall_s:.0f} s, its kills and restarts included"
    return [of_rounds([waited_s / wall_s], name=name, unit=unit, aim=aim, how=how)]
