"""Making the configured proposal network."""

from __future__ import annotations

import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.proposers.proposer import build_proposer


def test_a_cln_knows_no_classes() -> None:
    with pytest.raises(UserError, match=r"rpn\.classes: a CLN knows no classes"):
        build_proposer(compose([]).rpn, 3)
