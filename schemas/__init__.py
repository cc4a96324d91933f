"""Every message, name and setting of Tributary, and the wire codec. Imports msgspec, zstandard and
the standard library only, so that any part of the system can afford it.

| what | files, in an order to read them |
|---|---|
| of a group's life | `lease`, `rollout`, `verdict`, `purge`, `ledger`, `batch` |
| of a policy's | `policy`, `trainer_events` |
| about both | `heartbeat`, `run_card`, `join`, `shard`, `types`, `arrays` |
| on the wire | `wire`, `names` |
| settings | `settings`, `model_settings`, `resolve`, `described`, `nearest`, `listed`, `stray` |
| for everybody | `errors`, `atomic_file` |
"""
