"""The verbs that turn files of others into ours and back: arguments in, exit status out."""

from __future__ import annotations

from argparse import ArgumentParser

from unidet.pipelines.store_verbs import Compose, Verb


def convert(parser: ArgumentParser, given: list[str], _: Compose) -> int:
    parser.add_argument("source", metavar="SRC", help="any checkpoint, official or ours")
    parser.add_argument("destination", metavar="DST", help=".safetensors, .pkl; or .pth, .pt")
    parser.add_argument("--layout", metavar="NAME", help="of the official file (docs/convert.md)")
    parser.add_argument("--to", choices=("torch", "ours"), help="else as DST's suffix says")
    options = vars(parser.parse_args(given))
    from unidet.pipelines.convert import convert_file

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
    from unidet.pipelines.interchange import interchange_files

    print(interchange_files(**options, study=lambda: compose(overrides)))
    return 0


VERBS: dict[str, Verb] = {"convert": convert, "interchange": interchange}
