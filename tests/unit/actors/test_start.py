"""An actor whose output nobody reads any more."""

import subprocess
import sys

SHOWS = """
import asyncio
from actors.start import _show

class Screen:
    def show(self, report):
        print(report, flush=True)

stop, num_shown = asyncio.Event(), 0
while not stop.is_set():
    _show(Screen(), stop, "report")
    num_shown += 1
    assert num_shown < 1_000_000
_show(Screen(), stop, "the last one")
"""


def test_it_is_asked_to_end_without_a_word():
    process = subprocess.Popen(
        [sys.executable, "-c", SHOWS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == b"report\n"
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (0, b"")
