"""What the documents say exists: verbs, files that links lead to, settings files."""

import re
from pathlib import Path

import pytest
import structlog

from actors.cli import app as actor
from broker.cli import app as broker
from learner.cli import app as learner
from schemas.resolve import resolve
from schemas.settings import LearnerSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
APPS = {"actor": actor, "broker": broker, "learner": learner}
COMMAND = re.compile(r"(?:^ {4}|`)(actor|broker|learner) ([a-z]+)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)\)")


@pytest.fixture(autouse=True)
def default_logs():
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_verb_exists(document):
    for program, verb in COMMAND.findall(document.read_text(encoding="utf-8")):
        commands = APPS[program].registered_commands
        known = {one.name or one.callback.__name__.rstrip("_") for one in commands if one.callback}
        assert verb in known, f"{document.name}: {program} {verb}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*.toml")), ids=lambda path: path.name)
def test_every_example_resolves(file):
    assert resolve(LearnerSettings, ["@", str(file)])
