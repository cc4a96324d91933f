"""The learner: a coordinator that judges and batches, and a trainer that learns."""
