"""What this process has read of stores, to be read again where something fails in an odd way.

At use nothing is hashed: content that the disk has altered ends in whatever its reader makes of it.
"""

from __future__ import annotations

from unidet.store.hashing import sha256_file
from unidet.store.paths import Layout
from unidet.store.record import Action, StoredFile

_actions: dict[tuple[str, str], tuple[Layout, Action]] = {}


def note(layout: Layout, action: Action) -> None:
    """The folder of an artefact is given to whoever asked for it."""
    _actions[str(layout.root), action.key] = layout, action


def altered() -> str:
    """One file that is not what was stored, with what helps; empty where all are as they were."""
    for layout, action in list(_actions.values()):
        for name, file in action.files.items():
            if not _is_whole(layout, file):
                return (
                    f"store {layout.root}: {action.label}/{name} is not what was stored, the disk "
                    f"has altered it ({layout.blob(file.sha256)}); unidet verify --repair brings "
                    "it back or sets it aside, then run the same command again"
                )
    return ""


def _is_whole(layout: Layout, file: StoredFile) -> bool:
    try:
        return sha256_file(layout.blob(file.sha256)) == file.sha256
    except FileNotFoundError:  # a clean-up may have taken it away
        return True
    except OSError:
        return False
