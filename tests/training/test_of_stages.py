"""Training as the stages do it."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import bare_job

from unidet.errors import UserError
from unidet.pipelines.wiring import training


def test_the_files_that_were_read_are_checked_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end it would be too late: what is replaced meanwhile has long been read."""

    def changed() -> None:
        raise UserError("weights: changed")

    monkeypatch.setattr(training, "train", lambda *given, **named: pytest.fail("a step was made"))
    with pytest.raises(UserError, match="weights: changed"):
        training.train_and_keep(  # type: ignore[arg-type]
            bare_job(tmp_path, unchanged=changed),
            "roi",
            None,
            None,
            None,
            None,
        )
