"""Tasks, interaction and rewards, used by actors and by the learner.

| what | files, in an order to read them |
|---|---|
| the seam | `interface` |
| those that there are | `catalogue`, `reverse`, `arithmetic`, `lookup` |
| what they are made of | `single_turn`, `draw`, `renderer`, `characters`, `scoring` |
| what both sides make sure of | `pin`, `fit` |
| an actor's side | `assembled` |
| the learner's side | `recorded` |
| for people | `spelling` |
"""
