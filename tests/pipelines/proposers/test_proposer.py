"""Making the configured proposal network."""

from __future__ import annotations

import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.proposers.proposer import build_proposer


@pytest.mark.parametrize(("page", "kind"), [("toy", "cln"), ("toy_rpn", "rpn")])
def test_localization_networks_know_no_classes(page: str, kind: str) -> None:
    with pytest.raises(UserError, match=rf"rpn\.classes: a network of kind {kind} knows no"):
        build_proposer(compose([f"rpn={page}"]).rpn, 3)
