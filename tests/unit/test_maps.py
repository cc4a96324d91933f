"""Each room's `__init__` is a map of it: every file is on it, and nothing else."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "schemas",
    "broker",
    "broker/top",
    "environments",
    "actors",
    "learner",
    "learner/coordinator",
    "learner/trainer",
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_is_on_the_map(room):
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))
    rows = [row.split("|")[2] for row in (text or "").splitlines() if row.startswith("|")]
    mapped = re.findall(r"`(\w+)`", " ".join(rows))
    files = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
    assert sorted(mapped) == sorted(files | folders)
