"""What all three console scripts do before any verb is looked at."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.program.version import code_sha256

ROOT = Path(__file__).parents[4]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCRIPTS = PROJECT["scripts"]

pytestmark = pytest.mark.usefixtures("default_logs")


@pytest.mark.parametrize("command", SCRIPTS)
def test_the_version_names_the_code_that_a_run_is_opened_with(command: str) -> None:
    room = SCRIPTS[command].partition(".")[0]
    app = importlib.import_module(f"{room}.cli").app
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"tributary-rl {PROJECT['version']}, code {code_sha256()}\n"


@pytest.mark.parametrize("command", SCRIPTS)
def test_ctrl_c_in_the_midst_of_imports_is_no_traceback(command: str) -> None:
    module, _, function = SCRIPTS[command].partition(":")
    # As the console script does it, with a Ctrl-C as soon as it imports something of others.
    code = f"""
import signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "msgspec":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from {module} import {function}
sys.exit({function}())
"""
    words = [sys.executable, "-c", code, "--help"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
