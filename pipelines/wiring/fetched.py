"""Files of a published dataset on their way: what a person sees, what is noted beside them."""

from __future__ import annotations

from pathlib import Path

from unidet.console.terminal import Progress, say
from unidet.download.fetch import Expected, fetch, shown
from unidet.store.disk import whole_file
from unidet.store.paths import is_digest

_MEGABYTE = 1_000_000


def add_file(address: str, target: Path, expected: Expected) -> None:
    """Fetch a file; where nobody knew its sha256, it is noted beside it, and holds from then on."""
    seen = target.with_name(f"{target.name}.sha256")
    noted = _noted(seen)
    if noted and not expected.sha256:
        expected = Expected(expected.bytes, noted, str(seen))
    say(f"fetching {shown(address)}")
    progress = Progress(f"MB of {target.name}", stoppable=False)

    def update(done: int, total: int) -> None:
        progress.update(done // _MEGABYTE, max(total, done) // _MEGABYTE)

    def note(digest: str) -> None:
        if not expected.sha256:
            with whole_file(seen) as temporary:
                temporary.write_text(f"{digest}  {target.name}\n", "utf-8")

    fetch(address, target, expected, update, note)
    progress.close()


def _noted(seen: Path) -> str:
    """The sha256 at the beginning of a file as sha256sum writes it; empty where there is none."""
    first = seen.read_text("utf-8", "replace").partition(" ")[0] if seen.is_file() else ""
    return first if is_digest(first) else ""
