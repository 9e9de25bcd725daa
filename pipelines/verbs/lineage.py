"""`unidet lineage WHAT`: from an artefact back to the raw files, for a person or for Graphviz."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from unidet.console.terminal import duration, fold, moment, printable, say, size
from unidet.counts import counted
from unidet.pipelines.verbs.support.arguments import add_json, add_what, file_path, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store.disk import check_target
from unidet.store.lineage import Node, direct_inputs, lineage

PICTURES = (".png", ".svg", ".pdf")


def add_arguments(parser: ArgumentParser) -> None:
    add_what(parser)
    parser.add_argument("--dot", action="store_true", help="print Graphviz source")
    parser.add_argument(
        "--picture", type=file_path, metavar="FILE", help=f"draw the lineage: {', '.join(PICTURES)}"
    )
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import open_store
    from unidet.pipelines.verbs.support.selection import select

    config = compose(options.overrides)
    store = open_store(config)
    if options.picture:
        check_target(Path(options.picture), PICTURES)
    nodes = lineage(select(options.what, config, store), store)
    if options.picture:
        from unidet.pipelines.verbs.support.lineage_picture import draw

        draw(nodes, Path(options.picture))
        say(f"drawn to {options.picture}")
    if options.dot:
        print(dot(nodes))
    else:
        tell(options, [asdict(node) for node in nodes], lines(nodes))
    return 0


def lines(nodes: list[Node]) -> list[str]:
    """The chain for a person, at most 80 columns wide."""
    names = {node.key: f"{node.label} {node.output[:12]}" for node in nodes}
    found, command = [], ""
    for node in nodes:
        head, *rest = _tell(node, names)
        is_new = node.state != "lost" and node.command != command  # one run makes many artefacts
        found += [head, *(fold(f"by {node.command}") if is_new else []), *rest]
        command = node.command
    known = [node for node in nodes if node.state != "lost"]
    total = duration(sum(node.seconds for node in known))
    weight = size(sum(node.bytes for node in known))
    return [*found, f"together {total} of computing, {weight} in {counted(len(known), 'artefact')}"]


def _tell(node: Node, names: Mapping[str, str]) -> Iterator[str]:
    if node.state == "lost":
        yield f"{node.label}: its record is no longer in the store (key {node.key[:12]})"
        return
    marks = ["pinned"] if node.pinned else []
    marks += ["content is missing"] if node.state == "incomplete" else []
    yield "  ".join([names[node.key], f"built {moment(node.built)}", *marks])
    yield from fold(f"on {node.host}, {duration(node.seconds)}, {size(node.bytes)}, {_git(node)}")
    for key in node.inputs.values():
        yield f"  ← {names[key]}"
    for file in node.files:
        yield from fold(f"← {file.name}: sha256 {file.digest[:12]} {file.path}".rstrip())
    for one in node.accepted:
        yield from fold(f"accepted for code {one.code[:12]} on {one.host}, {moment(one.time)}")
    if node.nondeterminism:
        others = ", ".join(output[:12] for output in node.nondeterminism)
        yield from fold(f"the same key has also given {others}")


def _git(node: Node) -> str:
    if node.git is None:
        return "no git checkout"
    edits = ", with edits" if node.git.get("dirty") else ""
    return f"commit {str(node.git.get('commit'))[:12]}{edits}"


def dot(nodes: list[Node]) -> str:
    """The chain as Graphviz source; artefacts are boxes, raw files are notes."""
    rows = ["digraph lineage {", "  rankdir=BT; node [shape=box];"]
    raw: dict[str, str] = {}
    direct = direct_inputs(nodes)
    for node in nodes:
        rows.append(f"  {_quote(node.key)} [label={_quote(*label(node))}];")
        rows += [f"  {_quote(key)} -> {_quote(node.key)};" for key in direct[node.key]]
        for file in node.files:
            raw[file.digest] = file.name
            rows.append(f"  {_quote(file.digest)} -> {_quote(node.key)};")
    rows += [f"  {_quote(sha)} [shape=note label={_quote(name)}];" for sha, name in raw.items()]
    return "\n".join([*rows, "}"])


def label(node: Node) -> list[str]:
    """The lines of text in an artefact's box."""
    if node.state == "lost":
        return [node.label, "record lost"]
    cost = f"{duration(node.seconds)}, {size(node.bytes)}"
    return [node.label, node.output[:12], cost, f"{node.host}, {_git(node)}"]


def _quote(*lines: str) -> str:
    """One string of Graphviz, of lines that may come from elsewhere."""
    plain = (printable(line).replace("\\", r"\\").replace('"', r"\"") for line in lines)
    return '"' + r"\n".join(plain) + '"'


VERB = Verb(
    group="The study",
    summary="trace an artefact back to the raw files",
    example="unidet lineage outputs/artefacts/lvis_eval-3f2a9c1b7d20/metrics.json",
    run=run,
    add_arguments=add_arguments,
)
