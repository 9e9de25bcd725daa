"""`unidet export-onnx`: a network as a file that ONNX Runtime and others run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from unidet.console.terminal import say
from unidet.counts import counted
from unidet.pipelines.verbs.support.arguments import file_path
from unidet.pipelines.verbs.support.model import add_source, add_vocabulary
from unidet.pipelines.verbs.support.verb import Compose, Verb


def add_arguments(parser: ArgumentParser) -> None:
    model = parser.add_argument_group("which model; a second stage's names are baked in")
    add_vocabulary(model)
    add_source(model)
    parser.add_argument(
        "--out", type=file_path, metavar="FILE", default="model.onnx", help="the ONNX file"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="all boxes with all scores, without NMS and top-k",
    )


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.detector.for_files import FILES, names_given
    from unidet.pipelines.detector.model import load
    from unidet.pipelines.detector.onnx_file import check_onnx_target

    check_onnx_target(Path(options.out))
    names = None if options.vocab is None else names_given(options.vocab)
    model = load(**{name: getattr(options, name) for name in ("study", *FILES, "overrides")})
    count = len(model.export_onnx(options.out, names, raw=options.raw))
    say(f"{counted(count, 'name')} -> {options.out}")
    return 0


VERB = Verb(
    group="Files",
    summary="export a network as an ONNX file",
    example="unidet export-onnx --weights nanodet-plus-m_416.ckpt --out nanodet.onnx",
    run=run,
    add_arguments=add_arguments,
)
