"""Files that may never end, in place of those that people give: named at once, not waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.formats.embeddings import read_array
from unidet.formats.json_text import read_document
from unidet.report.logs.log_lines import read_text
from unidet.vocabularies.vocabulary import Vocabulary
from unidet.weights.read import read_checkpoint, read_npz, read_pickle

READERS = (
    *(read_array, read_document, read_text, Vocabulary.read),
    *(read_checkpoint, read_npz, read_pickle),
)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_a_pipe_or_a_device(
    tmp_path: Path, read: Callable[[Path], Any], make: Callable[[Path], None]
) -> None:
    make(tmp_path / "x")
    with pytest.raises(UserError, match=r"is no file, but a pipe|no such file|no checkpoint"):
        read(tmp_path / "x")
