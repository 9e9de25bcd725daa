"""`python -m unidet`: the command."""

from __future__ import annotations

import sys

from unidet.cli import main

if __name__ == "__main__":
    sys.argv[0] = "unidet"  # as in the records of what was run
    main()
