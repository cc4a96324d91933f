"""Share of the demo's wall clock in which the trainer waits for a batch, from its metrics.

It counts from the first step's announcement to the last one's, kills and restarts included.
"""

from pathlib import Path

import msgspec

from benchmarks.table import Figure, missing, of_rounds
from learner.metrics import StepRow

_METRICS = Path("runs/demo/metrics.jsonl")


def measure() -> list[Figure]:
    name, unit, aim = "demo: share of time in which the trainer waits", "", "as low as can be"
    lines = _METRICS.read_bytes().splitlines() if _METRICS.exists() else []
    rows = [msgspec.json.decode(line, type=StepRow) for line in lines]
    if len(rows) < 2:
        return [missing(name, unit=unit, aim=aim, how="run `make demo` first")]
    wall_s = rows[-1].announced_time - rows[0].announced_time
    waited_s = sum(row.trainer.waited_s for row in rows[1:])
    how = f"{len(rows)} steps in {wall_s:.0f} s, its kills and restarts included"
    return [of_rounds([waited_s / wall_s], name=name, unit=unit, aim=aim, how=how)]
