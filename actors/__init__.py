"""Lease -> rollouts -> queue: the daemon that contributors run."""
