"""The verbs of `broker`, each a function of its options; what is heavy is imported inside it.

| verbs | file |
|---|---|
| what all verbs take | `options` |
| looking once, or again and again with `--watch` | `looking` |
| up, down, status | `servers` |
| init, ls, audit | `runs` |
| invite, revoke, contributors, gate | `contributors` |
| info, subjects, consumers | `streams` |
| top | `top` |
| lag, refused, tail | `flow` |
| peek, why | `messages` |
| show, export | `groups` |
| purge, cut-off, let-in | `purge` |
| backup, restore | `backup` |
| doctor | `doctor` |
| bench | `measure` |
"""
