"""An error that nobody foresaw, and the altered content that it comes from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import exit_status

from unidet import cli
from unidet.errors import UserError
from unidet.store import handed_out
from unidet.store.arrays import malformed
from unidet.store.record import Action
from unidet.store.store import Store


def alter(path: Path) -> None:
    os.chmod(path, 0o644)
    content = path.read_bytes()
    path.write_bytes(content[:20] + b"{" + content[21:])


def test_altered_content_is_named_where_its_reader_fails(
    store: Store,
    publish: Callable[..., Action],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "a.npy", np.arange(5))
    action = publish({"a.npy": (tmp_path / "a.npy").read_bytes()})
    file = store.folder(action) / "a.npy"

    def reads(arguments: list[str]) -> int:
        np.load(store.folder(action) / "a.npy", allow_pickle=False)
        return int("no number")

    monkeypatch.setattr(cli, "_dispatch", reads)
    with pytest.raises(ValueError, match="no number"):  # a fault of the program stays one
        exit_status("status")
    alter(file)
    assert exit_status("status") == 2
    said = capsys.readouterr().err
    assert "rpn/a.npy is not what was stored, the disk has altered it" in said
    assert "unidet verify --repair" in said
    assert "Traceback" not in said
    assert said.count("\n") == 1

    def refuses(arguments: list[str]) -> int:
        malformed(file, "no numbers")

    monkeypatch.setattr(cli, "_dispatch", refuses)
    assert exit_status("status") == 2
    assert "the disk has altered it" in capsys.readouterr().err


def test_a_result_is_made_only_from_what_was_stored(
    store: Store, publish: Callable[..., Action]
) -> None:
    """Zeros in the place of weights are read without an error."""
    action = publish({"a.bin": b"weights of a network", "b/c.bin": b"others"})
    folder = store.intact_folder(action)
    assert folder == store.folder(action)
    (folder / "b" / ".mine").write_text("a hidden file is the user's")
    assert store.intact_folder(action) == folder
    os.chmod(folder / "b" / "c.bin", 0o644)
    (folder / "b" / "c.bin").write_bytes(bytes(6))
    assert store.lookup(action.key) == action
    with pytest.raises(UserError, match=r"rpn/b/c\.bin is not what was stored, .*--repair") as said:
        store.intact_folder(action)
    assert str(store.layout.blob(action.files["b/c.bin"].sha256)) in str(said.value)


def test_what_a_clean_up_took_away_is_not_altered(
    store: Store, publish: Callable[..., Action]
) -> None:
    action = publish({"a.txt": b"content"})
    store.folder(action)
    store.layout.blob(action.files["a.txt"].sha256).unlink()
    assert handed_out.altered() == ""
