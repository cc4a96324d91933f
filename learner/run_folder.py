"""What lies where in a run's folder on the learner's side.

Only the key cannot be made again. Everything else can be had from the logs and the bucket.
"""

from pathlib import Path

from schemas.settings import LearnerSettings


class RunFolder:
    """`<directory>/<run>`; every rank and every start of a run must see the same one."""

    def __init__(self, settings: LearnerSettings) -> None:
        self.path = Path(settings.directory).expanduser() / settings.name
        self.key = self.path / "run.key"
        """Private half of the run's key."""
        self.opening = self.path / "opening.json"
        """What the coordinator writes as RunOpened; there once the initial policy is published."""
        self.card = self.path / "run.json"
        """For actors."""
        self.settings = self.path / "settings.toml"
        """As this start resolved them, for the processes that it starts; see `keep_settings`."""
        self.initial = self.path / "initial"
        """The policy to begin with, a Hugging Face folder."""
        self.initial_settings = self.path / "initial.toml"
        """What it was made with, if it was made here."""
        self.checkpoints = self.path / "checkpoints"
        self.scratch = self.path / "scratch"
        """Policies on their way out of the trainer or into it; emptied when a trainer starts."""
        self.logs = self.path / "logs"
        self.metrics = self.path / "metrics.jsonl"
        """One line for each step, see `learner.metrics`."""
        self.events = self.path / "events.jsonl"
        """What was done to the run from outside, see `learner.events`."""
        self.report = self.path / "report.html"


def how_to_contribute(settings: LearnerSettings) -> str:
    """What brings an actor into the run, as it is typed."""
    if settings.connection.accounts:
        return f"broker gate {settings.name}, and broker invite NAME"
    return f"actor start {RunFolder(settings).card}"
