"""A run as a folder of files, and back: `broker backup` and `broker restore`.

| what | files, in an order to read them |
|---|---|
| what is in a folder | `folder`, `manifest`, `chunks` |
| a backup | `take`, `records`, `named`, `objects` |
| a restore | `restore`, `whole`, `vacancy`, `closing` |
| how far it is, and what came of it | `progress`, `views` |

docs/backup.md has the format, and what a restored run has lost.
"""
