"""Leases out, groups in, verdicts, batches. asyncio on a CPU; knows no torch.

| what | files, in an order to read them |
|---|---|
| the whole | `service`, `log`, `state`, `ended`, `known`, `bell`, `heartbeats` |
| leases out | `front`, `desk`, `capacity`, `allowance`, `probation`, `draw`, `endings`, `grants` |
| groups in | `intake`, `hand`, `judging`, `case`, `suspects` |
| findings | `workers`, `worker_process`, `job`, `finding` |
| in a judging process | `worker_entry`, `worker`, `examination` |
| messages out unjudged | `purging`, `purges`, `sequences` |
| verdicts | `verdicts`, `rounds`, `round_writer`, `garbage` |
| batches | `cutter`, `cut`, `advantages` |

Of `front` and `desk`, `round_writer` and `rounds`, `cutter` and `cut`, the first waits and writes,
the second is pure and decides.
"""
