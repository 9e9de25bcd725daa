"""What the evaluation says of a calibration that left nothing."""

from __future__ import annotations

import pytest

from unidet.config.stages import CalibrationConfig
from unidet.pipelines.stages.lvis_eval import explain_silence


@pytest.mark.parametrize(
    ("compat", "gamma", "detections", "said"),
    [
        ("official", 0.6, 0, True),
        ("official", 0.6, 1, False),
        ("official", 0.0, 0, False),
        ("default", 0.6, 0, False),
    ],
)
def test_only_the_official_calibration_explains_its_silence(
    compat: str, gamma: float, detections: int, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = CalibrationConfig(beta=0.3, gamma=gamma, compat=compat)
    assert explain_silence("val", detections, calibration) == said
    assert capsys.readouterr().err.startswith("val: no detections; as in the official code") == said
