"""What `broker bench` measures.

| what | file |
|---|---|
| durable writes of a disk, on a server of its own | `disk` |
| messages through the servers at hand, on a stream of its own | `deployment` |
| the same bytes through a bare socket: the floor | `floor` |
"""
