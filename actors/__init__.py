"""Lease -> rollouts -> queue: the daemon that contributors run.

| what | files, in an order to read them |
|---|---|
| the command | `__main__`, `cli` |
| who it is, and where | `identity`, `membership`, `joining`, `leaving` |
| a process | `start`, `instance_lock`, `arrival`, `wiring`, `daemon` |
| work | `leases`, `lease_client`, `terms` |
| groups | `fulfilment`, `groups`, `seeds`, `spool`, `verdicts` |
| policies | `policies`, `obstacle`, `grant_client`, `probe` |
| tokens | `engine`, `torch_engine`, `decoding`, `sampling` |
| what people see | `state`, `status`, `rate`, `heartbeats`, `report`, `screens` |
| `actor check` | `check`, `reach`, `speed` |
"""
