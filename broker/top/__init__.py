"""`broker top`: a run by actor, live. A pure fold of what is heard, and thin screens on top of it.

| what | files, in an order to read them |
|---|---|
| what is shown | `view`, `sort`, `columns`, `words` |
| the fold | `fold`, `actor`, `course`, `window`, `server_clock` |
| what follows a run | `live`, `badges`, `show` |
| in a pipe | `lines` |
| the screen, on textual | `app`, `overview`, `details`, `banner`, `sheet`, `tones` |
"""
