"""The first line of every console script: from here on Ctrl-C is exit status 130, no traceback.

What takes time to import is imported behind that line, the application above all.
"""

import importlib
import sys

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def start(command: str, module: str) -> None:
    """Run the application `app` of a module under the name of its command."""
    try:
        importlib.import_module(module).app(prog_name=command)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
