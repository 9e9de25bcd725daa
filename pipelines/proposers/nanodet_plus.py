"""NanoDet-Plus as a proposer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from unidet.config.networks import NanoDetPlusConfig
from unidet.pipelines.proposers.proposer import Kind

if TYPE_CHECKING:
    from unidet.data.loader import Loader
    from unidet.models.nanodet_plus.detector import NanoDetPlus

UNFOLDED_ON = 32
"""Images whose statistics the norms of folded weights get."""


def build(settings: NanoDetPlusConfig, classes: int, is_trained: bool) -> NanoDetPlus:
    """With its auxiliary parts where it is trained."""
    from unidet.models.nanodet_plus.detector import NanoDetPlus

    return NanoDetPlus(settings, classes=max(classes, 1), auxiliary=is_trained)


def refit(network: NanoDetPlus, batches_from: Callable[[int], Loader]) -> None:
    """Make weights read from ncnn, whose norms were folded away, fit for training.

    The norms get the statistics of the first `UNFOLDED_ON` images; others keep what they have.
    """
    from unidet.models.folded import is_folded

    if not is_folded(network.backbone):
        return
    with batches_from(0) as batches:
        first = next(batches).images_NCHW
        more = -(-UNFOLDED_ON // len(first)) - 1
        network.unfold([first, *(batch.images_NCHW for batch in islice(batches, more))])


KIND = Kind(
    build=build,
    refit=refit,
    class_arrays=("head.predict.*", "aux_head.predict_classes.*"),
)
