"""Files of a published data set on their way: what a person sees, what is noted beside them."""

from __future__ import annotations

from pathlib import Path

from unidet.console.terminal import Progress, say
from unidet.download.fetch import Expected, fetch

_MEGABYTE = 1_000_000


def add_file(address: str, target: Path, expected: Expected) -> None:
    """Fetch a file; where nobody knew its sha256, it is noted beside it, and holds from then on."""
    seen = target.with_name(f"{target.name}.sha256")
    if not expected.sha256 and seen.is_file():
        expected = Expected(expected.bytes, seen.read_text().split()[0], str(seen))
    say(f"fetching {address}")
    progress = Progress(f"MB of {target.name}", stoppable=False)

    def update(done: int, total: int) -> None:
        progress.update(done // _MEGABYTE, max(total, done) // _MEGABYTE)

    digest = fetch(address, target, expected, update)
    progress.close()
    if not expected.sha256:
        seen.write_text(f"{digest}  {target.name}\n")
