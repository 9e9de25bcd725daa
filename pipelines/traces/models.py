"""The networks that `unidet trace` knows; imports none of them."""

from __future__ import annotations

MODELS = {
    "cln_r50_fpn": "unidet.pipelines.traces.cln_r50_fpn",
    "rpn_r50_fpn": "unidet.pipelines.traces.rpn_r50_fpn",
    "unidetector_r50_c4": "unidet.pipelines.traces.unidetector_r50_c4",
    "unidetector_r50_c4_end2end": "unidet.pipelines.traces.unidetector_r50_c4_end2end",
    "clip_rn50_text": "unidet.pipelines.traces.clip_text",
    "clip_rn50_image": "unidet.pipelines.traces.clip_image",
    "clip_rn50x4_text": "unidet.pipelines.traces.clip_text",
    "clip_rn50x4_image": "unidet.pipelines.traces.clip_image",
    "nanodet_plus_m_416": "unidet.pipelines.traces.nanodet_plus",
    "nanodet_plus_m_1_5x_416": "unidet.pipelines.traces.nanodet_plus",
    "nanodet_plus_m_320": "unidet.pipelines.traces.nanodet_plus",
    **{f"rtdetr_r{depth}vd": "unidet.pipelines.traces.rtdetr" for depth in (18, 34, 50, 101)},
    "detr_r50": "unidet.pipelines.traces.detr",
}
"""Name on the command line -> module; what it holds is said in `unidet.pipelines.traces`."""
