"""What the servers and the storage are like, against what a run needs of them.

Reading is apart from judging: what is read is a value of `facts`, and each kind of check is a pure
function from facts to findings.

| what | files, in an order to read them |
|---|---|
| what comes out, and what goes in | `finding`, `commands`, `facts` |
| reading servers | `link`, `read_greeting`, `varz`, `read_system`, `read_monitoring`, `read_own` |
| reading the rest | `read_streams`, `read_store`, `read_keys` |
| judging servers | `server`, `versions`, `clocks`, `messages`, `durability`, `disk` |
| judging the rest | `run`, `configuration`, `objects`, `keys` |
| all of it, and the shorter checks at a start | `diagnose`, `before_use`, `before_run` |
| showing it | `view` |
"""
