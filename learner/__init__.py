"""The learner: a coordinator that judges and batches, and a trainer that learns.

| what | files, in an order to read them |
|---|---|
| the command | `__main__`, `cli` |
| the two daemons | `coordinator`, `trainer` |
| both as children of one process | `launch`, `child`, `child_process`, `role`, `progress` |
| opening a run | `initial_policy`, `open_run`, `opening_file`, `run_folder` |
| going on with one | `same_run`, `other_code` |
| looking back | `metrics`, `metrics_file`, `events`, `deeds`, `report`, `replaying` |
| all of it on one machine | `demo` |
"""
