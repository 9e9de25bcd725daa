"""Start-up time of the command.

Ratios are relative to importing only the libraries of the configuration, which every verb on a
study needs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from side_by_side import Row

LIBRARIES = "import hydra, numpy, omegaconf, pydantic"
COMMANDS = {
    "unidet -h": ["-h"],
    "unidet status": ["status"],
    "unidet path": ["path", "data:val"],
}


def work(program: str, folder: Path) -> Callable[[], Any]:
    if program == "its libraries":
        command = [sys.executable, "-c", LIBRARIES]
    else:
        command = [str(Path(sys.executable).with_name("unidet")), *COMMANDS[program]]
    return lambda: subprocess.run(command, capture_output=True)


ROWS = [
    Row(program, program, (program, "its libraries"), work, quick=True, warm_up=1)
    for program in COMMANDS
]
