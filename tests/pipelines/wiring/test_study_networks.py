"""What an end-to-end study has no network for."""

from __future__ import annotations

import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.wiring.study_networks import end_to_end


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "proposals.merge=[toy,toy_rpn]",
            r"^proposals\.merge: an end-to-end study has one network",
        ),
        ("finetune=own", "^finetune: continues from the network of stage roi, which an end-to-end"),
    ],
)
def test_other_networks_are_refused(override: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        end_to_end(compose(["experiment=toy_end2end", override]))
    assert end_to_end(compose(["experiment=toy", override])) is None
