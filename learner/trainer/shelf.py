"""A run's checkpoints on disk: one folder each, named by the policy, complete or not there.

They are disposable: without any of them a trainer starts from the initial policy, reads the same
batches and computes the same weights.
"""

import re
from pathlib import Path

from learner.trainer import checkpoint
from schemas.policy import PolicyId

_NAME = re.compile(r"^(\d{1,9})-(\d{1,9})\Z")


class Shelf:
    """Folders `<incarnation>-<version>` under one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, policy: PolicyId) -> Path:
        return self._folder / str(policy)

    def policies(self) -> list[PolicyId]:
        """What lies there, the oldest first."""
        return [policy for policy in self._folders() if checkpoint.is_complete(self.path(policy))]

    def sweep(self) -> None:
        """Remove what killed saves have left; only who holds the trainer's role may call this."""
        for policy in self._folders():
            checkpoint.sweep(self.path(policy))

    def discard(self, policy: PolicyId) -> None:
        """Remove one."""
        checkpoint.remove(self.path(policy))

    def prune(self, keep: int, announced: PolicyId) -> None:
        """Remove all but the newest `keep` of those that are no newer than the announced policy.

        A newer one cannot be started from yet, so it stands for none of them.
        """
        for policy in [policy for policy in self.policies() if policy <= announced][:-keep]:
            self.discard(policy)

    def _folders(self) -> list[PolicyId]:
        if not self._folder.is_dir():
            return []
        matched = [_NAME.match(path.name) for path in self._folder.iterdir()]
        return sorted(PolicyId(int(name[1]), int(name[2])) for name in matched if name)
