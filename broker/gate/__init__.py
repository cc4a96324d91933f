"""The gate of a run: a small daemon of the operator's that lets in who was invited, and throws out
who floods. It alone needs the operator's keys; it reads nothing that a stranger made but one small
request.

| what | files, in an order to read them |
|---|---|
| letting in | `admission` |
| throwing out | `meter`, `counts`, `traffic`, `revoking`, `guard` |
| the daemon | `service` |
"""
