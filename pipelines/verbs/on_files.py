"""The verbs that work on files: arguments in, exit status out."""

from __future__ import annotations

from argparse import ArgumentParser

from unidet.pipelines.verbs.on_store import Compose, Verb


def convert(parser: ArgumentParser, given: list[str], _: Compose) -> int:
    parser.add_argument("source", metavar="SRC", help="any checkpoint, official or ours")
    parser.add_argument("destination", metavar="DST", help=".safetensors, .pkl; or .pth, .pt")
    parser.add_argument("--layout", metavar="NAME", help="of the official file (docs/convert.md)")
    parser.add_argument("--to", choices=("torch", "ours"), help="else as DST's suffix says")
    options = vars(parser.parse_args(given))
    from unidet.pipelines.verbs.convert import convert_file

    print("\n".join(convert_file(**options)))
    return 0


def interchange(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("source", metavar="SRC", help=".pkl, .json, proposals:SET, lvis_eval:SET")
    parser.add_argument("destination", metavar="DST", help=".pkl (mmdet) or .json (COCO, LVIS)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="the study of proposals:")
    parser.add_argument("--annotations", metavar="GT.json", help="images and categories of a file")
    parser.add_argument("--proposals", action="store_true", help="a .json SRC holds proposals")
    options = vars(parser.parse_intermixed_args(given))
    overrides = options.pop("overrides")
    from unidet.pipelines.verbs.interchange import interchange_files

    print(interchange_files(**options, study=lambda: compose(overrides)))
    return 0


def evaluate(parser: ArgumentParser, given: list[str], _: Compose) -> int:
    parser.add_argument("ground_truth", metavar="GT.json")
    parser.add_argument("results", metavar="RESULTS.json")
    parser.add_argument("--style", choices=("lvis", "coco", "proposals"), required=True)
    parser.add_argument("--out", metavar="FILE", help="write the metrics here too, as JSON")
    parser.add_argument(
        "--check-official",
        action="store_true",
        help="LVIS only: compute them with the lvis package as well and compare",
    )
    options = parser.parse_args(given)
    from unidet.pipelines.verbs.judge import judge_files

    judge_files(**vars(options))
    return 0


def detect(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--vocab", required=True, help='names, separated by commas: "a, b, c"')
    parser.add_argument("--experiment", default="toy")
    parser.add_argument("--out", default="detections", help="folder for pictures and JSON")
    parser.add_argument("--threshold", type=float, default=0.3, help="least score to draw")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="overrides")
    options = parser.parse_args(given)
    from unidet.pipelines.verbs.detect import detect_files

    config = compose([f"experiment={options.experiment}", *options.set])
    detect_files(config, options.images, options.vocab, options.out, options.threshold)
    return 0


def trace(parser: ArgumentParser, given: list[str], _: Compose) -> int:
    from unidet.pipelines.verbs.trace import MODELS, trace_files

    parser.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--weights", required=True, metavar="FILE", help="ours or official")
    parser.add_argument("--inputs", required=True, metavar="IN.npz")
    parser.add_argument("--out", required=True, metavar="OUT.npz")
    parser.add_argument("--train", action="store_true", help="a training step and its losses")
    parser.add_argument("--grads", nargs="+", default=[], metavar="NAME", help="of parameters")
    trace_files(**vars(parser.parse_args(given)))
    return 0


def compare(parser: ArgumentParser, given: list[str], _: Compose) -> int:
    parser.add_argument("first", metavar="A.npz")
    parser.add_argument("second", metavar="B.npz", help="the reference")
    parser.add_argument("--rtol", type=float, help="of B's largest value; default by name")
    parser.add_argument("--atol", type=float, help="absolute; default by name (docs/parity.md)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help='like "rpn_*"')
    options = vars(parser.parse_args(given))
    from unidet.weights.compare import compare_files, table

    rows = compare_files(**options)
    print("\n".join(table(rows)))
    return 0 if all(row.fits for row in rows) else 1


def plot(parser: ArgumentParser, given: list[str], _: Compose) -> int:
    parser.add_argument("logs", nargs="+", metavar="LOG", help="a log, or a folder that holds one")
    parser.add_argument("--out", default="curves.png", help=".png, .pdf, .svg or .csv (curves.png)")
    parser.add_argument("--keys", nargs="+", default=[], metavar="KEY", help='like "loss_*" "AP*"')
    parser.add_argument("--names", nargs="+", default=[], help="of the runs, for the legend")
    parser.add_argument(
        "--smooth", type=positive, metavar="ROWS", help="mean over so many rows; 1: none"
    )
    parser.add_argument(
        "--epoch-steps", type=positive, metavar="N", help="where a log counts epochs only"
    )
    parser.add_argument("--title", default="")
    from unidet.pipelines.verbs.plot import plot_logs

    print("\n".join(plot_logs(**vars(parser.parse_args(given)))))
    return 0


def positive(text: str) -> int:
    """A whole number of at least 1, as a type for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


VERBS: dict[str, Verb] = {
    "detect": detect,
    "evaluate": evaluate,
    "trace": trace,
    "convert": convert,
    "interchange": interchange,
    "compare": compare,
    "plot": plot,
}
