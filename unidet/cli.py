"""`unidet`: a Hydra run (`stage=…`) or a verb; thin."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

from unidet.config.study import Config
from unidet.config.validate import build_config, unknown_key
from unidet.console.interrupt import EXIT_CODE, Interrupted, listen, stop_file
from unidet.errors import UserError

NOT_FRESH = 3

HELP = """unidet: open-world detection studies in pure Jittor

Run a stage, and whatever upstream of it is missing or stale:
  unidet stage=report            the whole toy study, ending in an LVIS table
  unidet stage=lvis_eval calibration.gamma=0.3
  unidet -m stage=lvis_eval calibration.gamma=0,0.3,0.6
  unidet stage=report experiment=bench data.root=FOLDER
Stages: data, clip, clip_embeddings, rpn, proposals, roi, lvis_raw, lvis_eval,
  calibration_sweep, report; proposer_study, coco_eval (rpn.classes=dataset)

Verbs:
  status [--check]               every stage of the study: state and one reason
  path STAGE                     the folder of a stage's artefact
  why STAGE                      what changed since it was built, to the cause
  lineage WHAT                   where it came from, down to the raw files
  verify [--repair]              reads the whole store again; 1: damage found
  pin WHAT, unpin WHAT           keep from clean-ups; alone: lists all pins
  accept STAGE [--revoke]        rewritten code that gives the same results
  rm WHAT                        remove an artefact that nothing else needs
  gc [--max-bytes 50GB] [--keep-last K] [--yes]   clean up; tells unless --yes
  push, fetch, pull --remote URL artefacts to and from a folder, SFTP server, S3
  export DIR, import DIR         artefacts with all they were made from
  config [overrides]             every value that can be given as key=value
  detect IMAGE… --vocab "a, b"   boxes with names, drawn on one's own pictures
  evaluate GT.json RESULTS.json --style {lvis,coco,proposals} [--out FILE]
  trace MODEL --weights W --inputs IN.npz --out OUT.npz [--train --grads NAME…]
                                 every tensor of a full-size network, by name
  convert SRC DST [--layout NAME] [--to torch|ours]
                                 official weights to ours, and back
  interchange SRC DST [--annotations GT.json]
                                 proposals, results: mmdet's pickles, JSON, ours
  compare A.npz B.npz [--only …]  tensors layer by layer; exit 1: too far apart
  plot LOG… [--out FILE]         loss, learning-rate and AP curves of any log:
                                 ours, mmdet, nanodet, DETR, RT-DETR
  doctor                         is this machine ready?

Verbs about the store take key=value like a run, and --json for programs; WHAT
is a stage, a path, or the first digits of a digest (docs/store.md).
The same command resumes a run that was interrupted (exit status 75). Bad input
ends with one line and exit status 2; HYDRA_FULL_ERROR=1 shows the traceback."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `unidet` command; exits with 0, 1, 2 (bad input) or 75 (interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # a crash in compiled code names the line before it
    listen()
    try:
        status = _dispatch(given)
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # `unidet … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"unidet: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stop:
        print(f"unidet: {stop}; the same command resumes", file=sys.stderr)
        sys.exit(EXIT_CODE)
    except KeyboardInterrupt:
        print("unidet: stopped; the same command resumes from the last save", file=sys.stderr)
        sys.exit(EXIT_CODE)


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("help", "--help", "-h"):
        print(HELP)
        return 0
    if given[0] in _VERBS:
        return _VERBS[given[0]](given[1:])
    if given[0] in ("-m", "--multirun"):
        return _sweep(given)
    if "=" in given[0]:
        return _run(given)
    raise UserError(
        f"{given[0]!r} is neither key=value nor one of {', '.join(_VERBS)}; see: unidet --help"
    )


# --- configuration -----------------------------------------------------------------------------


def compose(overrides: Sequence[str]) -> Config:
    """The typed configuration that `conf/` and the overrides make.

    Raises:
        UserError: one line that names the key and what is allowed.
    """
    return build_config(_compose(list(overrides)))


def _compose(overrides: list[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_module("unidet.conf", version_base="1.3"):
            composed = hydra_compose("config", overrides=list(map(_open, overrides)))
            return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(str(error), overrides)) from None


def _explain(message: str, overrides: list[str]) -> str:
    """Hydra's many lines as one, with the keys or options that would have been right."""
    unknown = re.match(r"Could not override '([\w.@/]+)'", message)
    if unknown:
        return unknown_key([unknown[1]], [item.name for item in fields(Config)])
    options = re.search(
        r"Could not find '([\w/]+)/([^/']*)'\s+"
        r"Available options in .*:\s+((?:\w+\n\s*)+?)Config search",
        message,
    )
    if options:
        known = ", ".join(options[3].split())
        return f"{options[1]}: there is no {options[2]!r}; there are {known}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(
        line for line in lines if not line.startswith(("See https", "full_key", "object_type"))
    )


def _open(override: str) -> str:
    """`a.b=c` as `++a.b=c`: Hydra then sets whatever key it is, and the schema judges it.

    Otherwise a field with a default could not be given, because no file in `conf/` names it.
    """
    return f"++{override}" if re.match(r"\w+(\.\w+)+=", override) else override


# --- runs --------------------------------------------------------------------------------------


def _run(overrides: list[str]) -> int:
    from unidet.pipelines.engine.engine import bring_up_to_date

    bring_up_to_date(compose(overrides))
    return 0


def _sweep(arguments: list[str]) -> int:
    """Every combination of the swept values by Hydra's launcher, ending in one table."""
    from unidet.pipelines.engine.multirun import Sweep

    ours = [item for item in arguments[1:] if not item.startswith("hydra")]
    launchers = [item for item in arguments[1:] if item.startswith("hydra")]
    jobs, swept = _combinations(ours)
    return Sweep(jobs, swept, compose).run(
        lambda folder, names: _launch(launchers, folder, names, arguments)
    )


def _combinations(overrides: list[str]) -> tuple[list[list[str]], list[str]]:
    """The overrides of each job, the last key varying fastest, and the keys that vary."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    choices, swept = [], []
    try:
        for item in OverridesParser.create().parse_overrides(overrides):
            if item.is_sweep_override():
                key = item.get_key_element()
                choices.append([f"{key}={value}" for value in item.sweep_string_iterator()])
                swept.append(key)
            else:
                choices.append([str(item.input_line)])
    except HydraException as error:
        raise UserError(_explain(str(error), overrides)) from None
    return [list(job) for job in product(*choices)], swept


def _launch(launchers: list[str], folder: Path, names: Sequence[str], given: list[str]) -> None:
    """Run jobs of a sweep through the Hydra launcher that was chosen, ours in this process else."""
    import hydra
    from hydra.errors import HydraException

    from unidet.pipelines.engine.multirun_job import STOP

    place = str(folder).replace("'", r"\'")
    sys.argv[1:] = [
        "-m",
        f"hydra.sweep.dir='{place}/launcher'",
        *launchers,
        f"+sweep.folder='{place}'",
        f"+sweep.job=choice({','.join(map(repr, names))})",
    ]
    run = hydra.main(config_path="pkg://unidet.conf", config_name="config", version_base="1.3")
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises then, and does not end the process
    try:
        with stop_file(folder / STOP):
            run(_sweep_job)()
    except HydraException as error:
        extras = "; joblib comes with unidet[sweep], submitit with unidet[cluster]"
        reason = _explain(str(error), given)
        raise UserError(reason + extras * ("hydra/launcher" in reason)) from None
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before


def _sweep_job(composed: Any) -> None:
    """What a launcher calls, maybe in another process or on another machine."""
    from unidet.pipelines.engine.multirun_job import run_job

    run_job(Path(composed.sweep.folder), composed.sweep.job)


# --- verbs -------------------------------------------------------------------------------------


def _arguments(verb: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"unidet {verb}", allow_abbrev=False)


def _status(given: list[str]) -> int:
    parser = _arguments("status")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--check", action="store_true", help="exit 3 unless all is fresh")
    parser.add_argument("overrides", nargs="*", help="key=value")
    options = parser.parse_intermixed_args(given)
    from unidet.pipelines.verbs.status import print_status

    fresh = print_status(compose(options.overrides), as_json=options.json)
    return NOT_FRESH if options.check and not fresh else 0


def _path(given: list[str]) -> int:
    parser = _arguments("path")
    parser.add_argument("stage")
    parser.add_argument("overrides", nargs="*", help="key=value")
    options = parser.parse_intermixed_args(given)
    from unidet.pipelines.verbs.status import artefact_folder

    folder = artefact_folder(options.stage, compose(options.overrides))
    if folder is None:
        print(
            f"unidet: {options.stage} is not built; run: unidet stage={options.stage}",
            file=sys.stderr,
        )
        return 1
    print(folder)
    return 0


def _config(given: list[str]) -> int:
    import yaml

    plain = json.loads(json.dumps(asdict(compose(given))))
    print(yaml.safe_dump(plain, sort_keys=False), end="")
    return 0


def _doctor(given: list[str]) -> int:
    _arguments("doctor").parse_args(given)
    from unidet.backend.doctor import run

    return run()


def _work(given: list[str]) -> int:
    parser = _arguments("work")
    parser.add_argument("task", type=Path, metavar="TASK.json", help="in a stage's working folder")
    parser.add_argument("--attached", action="store_true", help="stop when standard input closes")
    parser.add_argument("--together", action="store_true", help="one of the processes of mpirun")
    options = parser.parse_args(given)
    from unidet.pipelines.engine.work import work_on

    work_on(options.task, attached=options.attached, together=options.together)
    return 0


def _of(module: str, verb: str) -> Callable[[list[str]], int]:
    """A verb of a module in `pipelines/`, which is imported when the verb is used."""

    def run(given: list[str]) -> int:
        verbs = import_module(f"unidet.pipelines.verbs.{module}").VERBS
        return verbs[verb](_arguments(verb), given, compose)

    return run


_STORE_VERBS = (
    *("why", "lineage", "verify", "pin", "unpin", "accept", "rm", "gc"),
    *("push", "fetch", "pull", "export", "import"),
)
_FILE_VERBS = ("detect", "evaluate", "trace", "convert", "interchange", "compare", "plot")
_VERBS: dict[str, Callable[[list[str]], int]] = {
    "status": _status,
    "path": _path,
    **{verb: _of("on_store", verb) for verb in _STORE_VERBS},
    "config": _config,
    **{verb: _of("on_files", verb) for verb in _FILE_VERBS},
    "doctor": _doctor,
    "work": _work,
}
