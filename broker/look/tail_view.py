"""Happenings as lines, each shown at once."""

import sys
import time

from broker.look.happenings import Happening
from broker.look.short_keys import short_keys
from broker.program.sanitise import sanitise
from broker.program.screen import show_json_line, show_line
from broker.program.words import utc


def show_happening(happening: Happening) -> None:
    """On one line; actors' keys are cut."""
    who = short_keys(happening.who)
    text = short_keys(happening.text)
    show_line(f"{utc(happening.time)}  {happening.kind:<11}  {who:<11}  {text}")
    sys.stdout.flush()


def show_happening_json(happening: Happening) -> None:
    show_json_line(happening)
    sys.stdout.flush()


def say(sentence: str) -> None:
    """What is no happening of the run: on standard error."""
    print(f"{utc(time.time())}  {sanitise(sentence)}", file=sys.stderr, flush=True)
