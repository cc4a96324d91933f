"""What `broker` shows of servers, streams, messages and groups; its verbs are in `broker.verbs`.

| verb | what finds it out | what shows it |
|---|---|---|
| status | `health` | `views` |
| ls | `listing` | `views` |
| info, subjects, consumers | `info`, `subjects`, `consumers` | `stream_views` |
| lag | `lag`, `backlog`, `window`, `standing` | `lag_view` |
| refused | `refusals` | `refusals_view` |
| tail | `tail`, `happenings` | `tail_view` |
| peek | `peek`, `sight`; chosen by `search`, `where`, `conditions`, `fields` | `views` |
| show | `show`, `group` | `group_page` |
| why | `life`, `moments` | `views` |
| contributors | `contributors` | |
| several | `who`, `identifier`, `short_keys`, `message`, `held`, `read_on` | |
"""
