"""The text classifier by hand."""

from __future__ import annotations

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.errors import UserError
from unidet.models.text_classifier import TextClassifier

FIRST = np.array([[2, 0], [3, 4], [0, 0]], np.float16)
SECOND = np.array([[0, -0.5]], np.float32)
REGIONS = np.array([[1, 0], [0.6, 0.8]], np.float32)


def test_official_logits_are_100_cosines() -> None:
    classifier = TextClassifier(networks.classifier(embedding=2))
    classifier.set_vocabularies([FIRST, SECOND])
    assert classifier.class_counts == (3, 1)
    assert classifier.settings() == {"scale": 100.0, "bias": 0.0}
    assert classifier.parameters() == []
    first = classifier(jt.array(REGIONS), 0).numpy()
    np.testing.assert_allclose(first, [[100, 60, 0], [60, 100, 0]], atol=1e-4)
    second = classifier(jt.array(REGIONS), 1).numpy()
    np.testing.assert_allclose(second, [[0], [-80]], atol=1e-4)


def test_learned_scale_and_bias() -> None:
    classifier = TextClassifier(
        networks.classifier(embedding=2, scale=20.0, bias=-6.0, learn_scale=True)
    )
    classifier.set_vocabularies([FIRST])
    assert [name for name, _ in classifier.named_parameters()] == ["logit_scale", "logit_bias"]
    assert classifier.settings() == pytest.approx({"scale": 20, "bias": -6}, rel=1e-6)
    logits = classifier(jt.array(REGIONS), 0)
    np.testing.assert_allclose(logits.numpy(), [[14, 6, -6], [6, 14, -6]], atol=1e-4)
    scale, bias = jt.grad(logits.sum(), [classifier.logit_scale, classifier.logit_bias])
    assert scale.item() == pytest.approx(20 * 3.2, rel=1e-5)
    assert bias.item() == pytest.approx(6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (np.ones((3, 4), np.float32), r"dataset 1 have shape \(3, 4\), must be \(categories, 2\)"),
        (np.ones(2, np.float32), r"must be \(categories, 2\)"),
        (np.ones((0, 2), np.float32), r"must be \(categories, 2\)"),
        (np.array([[1, np.nan]], np.float32), "dataset 1 hold NaN or infinite"),
        (np.array([[1, np.inf]], np.float16), "dataset 1 hold NaN or infinite"),
    ],
)
def test_unfit_vocabularies_are_refused(text: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextClassifier(networks.classifier(embedding=2)).set_vocabularies([FIRST, text])
