"""Who still runs, of all that were started for a folder."""

import subprocess
from pathlib import Path


def left_running(directory: Path) -> str:
    """Their command lines, which name the folder; empty when there is nobody."""
    found = subprocess.run(
        ["pgrep", "-af", str(directory)], capture_output=True, text=True, check=False
    )
    return found.stdout
