"""Rollouts as rows, for whoever works with them outside: `broker export`.

| what | file |
|---|---|
| which groups are meant | `selection` |
| a rollout as a row | `row` |
| files of rows | `jsonl`, `parquet` |
| from one to the other | `writing` |
"""
