"""Artefacts that this process has used, to be verified after an unexpected error.

Content that is only shown is not hashed before. If the disk has altered it, its reader fails with
an arbitrary error.
"""

from __future__ import annotations

from unidet.store.hashing import sha256_file
from unidet.store.paths import Layout
from unidet.store.record import Action, StoredFile

_actions: dict[tuple[str, str], tuple[Layout, Action]] = {}


def note(layout: Layout, action: Action) -> None:
    """Record that the folder of an artefact was requested."""
    _actions[str(layout.root), action.key] = layout, action


def altered() -> str:
    """A message that names one altered file and says what helps; empty if none is altered."""
    for layout, action in list(_actions.values()):
        for name, file in action.files.items():
            if not _is_whole(layout, file):
                return is_altered(layout, action, name)
    return ""


def is_altered(layout: Layout, action: Action, name: str) -> str:
    """The message about an altered file of an artefact."""
    return (
        f"store {layout.root}: {action.label}/{name} is not what was stored, the disk has altered "
        f"it ({layout.blob(action.files[name].sha256)}); unidet verify --repair brings it back or "
        "sets it aside, then run the same command again"
    )


def _is_whole(layout: Layout, file: StoredFile) -> bool:
    try:
        return sha256_file(layout.blob(file.sha256)) == file.sha256
    except FileNotFoundError:  # a clean-up may have removed it
        return True
    except OSError:
        return False
