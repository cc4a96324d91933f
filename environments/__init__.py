"""Tasks, interaction and rewards, used by actors and by the learner."""
