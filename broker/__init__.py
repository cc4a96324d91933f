"""The queue, the logs and object storage: everything between actors and the learner that lasts.

| what | files, in an order to read them |
|---|---|
| the two seams | `interface`, `store` |
| behind them, over servers | `jetstream`, `objects`, `embedded` |
| behind them, in memory | `memory` |
| a run's streams | `streams`, `inventory`, `subjects`, `fence`, `fenced_log`, `heard` |
| what its logs say | `logbook`, `tally`, `purged`, `removed` |
| what leaves a queue unjudged | `removal` |
| who is let in | `accounts`, `login`, `gate` |
| weights on their way | `policies` |
| going on when something is away or too much | `retry`, `again`, `publisher`, `turnstile` |
| waiting, and working side by side | `changes`, `parallel` |
| the command | `__main__`, `cli`, `verbs` |
| what its verbs do | `look`, `top`, `export`, `audit`, `backup`, `doctor`, `bench` |
| what all three commands share | `program`, `addresses`, `actor_key` |
"""
