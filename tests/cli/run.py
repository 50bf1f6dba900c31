"""Runs the command line in a process of its own, as people do."""

import os
import subprocess
import sys

COMMAND = [sys.executable, "-c", "from turnout.cli.main import main; main()"]
QUIET = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/"), "COLUMNS": "120"}
"""An environment without anybody's keys."""


def turnout(*arguments, cwd, env=None, stdin=None):
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**QUIET, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
