"""The `unidet` command, also as `python -m unidet`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """As `cli.main`; Ctrl-C while that is being imported, which takes a second, is one line too."""
    try:
        from unidet.cli import main as command
    except KeyboardInterrupt:
        from unidet.console.interrupt import EXIT_CODE

        print("unidet: stopped before it began", file=sys.stderr)
        sys.exit(EXIT_CODE)
    command()


if __name__ == "__main__":
    sys.argv[0] = "unidet"  # as in the records of what was run
    main()
