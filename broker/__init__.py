"""The queue, the logs and object storage: everything between actors and the learner that lasts."""
