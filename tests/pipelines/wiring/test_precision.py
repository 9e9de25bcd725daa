"""Only what trains depends on the precision of training."""

from __future__ import annotations

from unidet.cli import compose
from unidet.config.study import Config
from unidet.pipelines.engine.graph import all_nodes
from unidet.pipelines.engine.keys import values_of


def stages_with(other: Config, base: Config) -> set[str]:
    """Stages whose values differ between two configurations with the same nodes."""
    return {
        node.stage for node in all_nodes(base) if values_of(node, base) != values_of(node, other)
    }


def test_stages_that_train_depend_on_it() -> None:
    base = compose(["experiment=toy_finetune"])
    low = compose(["experiment=toy_finetune", "runtime.precision=bfloat16"])
    assert stages_with(low, base) == {"clip", "rpn", "roi", "finetune"}
    one = ["experiment=toy_end2end"]
    low = compose([*one, "runtime.precision=float16"])
    assert stages_with(low, compose(one)) == {"clip", "end2end"}


def test_networks_that_are_taken_do_not() -> None:
    taken = ["rpn.training=null", "rpn.weights=a", "roi.training=null", "roi.weights=b"]
    low = compose([*taken, "runtime.precision=bfloat16"])
    assert stages_with(low, compose(taken)) == {"clip"}


def test_float32_is_in_no_key() -> None:
    base = compose(["experiment=toy"])
    assert all("runtime" not in values_of(node, base) for node in all_nodes(base))
