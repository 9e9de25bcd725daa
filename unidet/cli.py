"""`unidet`: arguments to a run (`stage=…`), a sweep (`-m`) or a verb, and their exit status."""

from __future__ import annotations

import errno
import faulthandler
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from unidet.config.folders import ConfigFolders, take_folders
from unidet.config.overrides import each_once, require_whole
from unidet.console import streams
from unidet.console.interrupt import (
    EXIT_CODE,
    Interrupted,
    Stopped,
    at_once,
    listen,
    stop_file,
    stop_requested,
)
from unidet.errors import Malformed, UserError, in_the_way, suggestion
from unidet.pipelines.verbs.support import arguments as verb_arguments
from unidet.pipelines.verbs.support.verb import load, names
from unidet.redaction import redact

if TYPE_CHECKING:
    from unidet.config.study import Config

HELP = ("-h", "--help")
BAD_INPUT = 2
FULL = (errno.ENOSPC, errno.EDQUOT)
UTF8 = "utf-8"
IN_UTF8 = "try again with PYTHONUTF8=1 before the command"
NEAR = 30  # characters that are shown before and behind one


def compose(overrides: Sequence[str]) -> Config:
    """The typed configuration of a study; see `unidet.config.compose`.

    What makes it takes longer to import than help takes to print.
    """
    from unidet.config.compose import compose as compose_config

    return compose_config(overrides)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `unidet` command; exits with 0, 1, 2 (bad input) or 75 (interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare()
    sys.excepthook = _show_traceback
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # a crash in compiled code names the line before it
    _tell_of_locale()
    listen()
    sys.exit(_status(given))


def _show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """As Python does, but without passwords: people send it to others, and sweeps keep it."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print("\n".join(map(redact, text.splitlines())), file=sys.stderr)


def _tell_of_locale() -> None:
    """A note where Python takes the bytes of file names for letters of another encoding than UTF-8:
    images are then missing, and names in results garbled. Of the locales C and POSIX it does not.
    """
    encoding = sys.getfilesystemencoding()
    if encoding != UTF8:
        streams.complain(
            f"file names are read as {encoding}, as this terminal's locale says; where they are "
            f"UTF-8, {IN_UTF8}"
        )


def _status(given: list[str]) -> int:
    """The exit status; one line about whatever keeps the command from its end."""
    try:
        status = _dispatch(given)
        sys.stdout.flush()
        return status
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.filename == streams.OUTPUT:
            streams.abandon(sys.stdout)
            if isinstance(error, BrokenPipeError):  # `unidet … | head`
                return 128 + signal.SIGPIPE
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        streams.complain(_reason(error) if isinstance(error, OSError) else _line(error))
        return BAD_INPUT
    except Interrupted as stop:
        streams.complain(f"{stop}; {stop.advice}")
        return EXIT_CODE
    except KeyboardInterrupt:
        streams.complain("stopped; the same command resumes from the last save")
        return EXIT_CODE
    except Exception as error:  # a fault of the program, unless it has read what is damaged
        from unidet.backend.importing import COMPILER_FAILED

        if stop_requested() and COMPILER_FAILED in str(error):  # the signal has ended it as well
            streams.complain("stopped while a kernel was compiled; the same command resumes")
            return EXIT_CODE
        reason = _full_gpu(error) or _no_text(error) or _altered()
        if not reason:
            raise
        streams.complain(reason)
        return BAD_INPUT


def _line(error: UserError) -> str:
    """The message of an error, or that a stored file was altered."""
    return (isinstance(error, Malformed) and _altered()) or str(error)


def _full_gpu(error: Exception) -> str:
    """The message if a verb ran out of GPU memory; otherwise empty."""
    from unidet.backend.gpu_memory import is_full, when_full

    return when_full("the same command resumes") if is_full(error) else ""


def _no_text(error: Exception) -> str:
    """The message if a given name cannot be written as text; otherwise empty."""
    if not isinstance(error, UnicodeEncodeError):
        return ""
    near = error.object[max(0, error.start - NEAR) : error.end + NEAR]
    if error.encoding == sys.getfilesystemencoding() != UTF8:
        return f"{near!r}: holds letters that file names lack in this terminal's locale; {IN_UTF8}"
    if "surrogates" not in error.reason:
        return ""
    return (
        f"{near!r}: holds a name that is not text in UTF-8, as the file to be written is; rename "
        f"it, or, where this terminal's locale is another, {IN_UTF8}"
    )


def _altered() -> str:
    """The message if a file of the store was altered; otherwise empty."""
    from unidet.store.handed_out import altered

    return altered()


def _reason(error: OSError) -> str:
    """The message of an operating system error: where, what, and what helps."""
    if error.errno == errno.ENOENT and not error.filename and _is_nowhere():
        return "the folder that this command was started in is gone: change into another"
    if error.errno == errno.ENOTDIR and error.filename:
        return f"{in_the_way(error.filename)} is not a folder, where one belongs; move it elsewhere"
    moved_to = error.filename2 if error.errno == errno.EISDIR else None  # where a folder is
    name = moved_to or error.filename
    where = f"{name}: " if name else ""
    advice = "; free some space and run the same command again" if error.errno in FULL else ""
    return f"{where}{error.strerror or error}{advice}"


def _is_nowhere() -> bool:
    """Whether the current folder has been removed."""
    try:
        return not os.getcwd()
    except FileNotFoundError:
        return True


def _dispatch(arguments: list[str]) -> int:
    folders, given = take_folders(arguments)
    first, rest = (given[0], given[1:]) if given else ("help", [])
    if first in names():
        return _verb(first, rest, folders)
    if first == "help" or {*given} & {*HELP}:
        named = next((word for word in rest if word in names()), "")
        return _verb(named, ["-h"], folders) if named else _help()
    if first == "--version":
        return _version()
    require_whole(given, alone=True)
    if first in ("-m", "--multirun"):
        return _sweep([first, *folders.before(each_once(rest))])
    if "=" in first:
        return _run(folders.before(each_once(given)))
    raise UserError(_unknown(first))


def _verb(name: str, given: list[str], folders: ConfigFolders) -> int:
    verb = load(name)
    options = verb_arguments.parse(name, verb, given)
    if verb.takes_overrides:
        options.overrides = folders.before(each_once(options.overrides))
    elif folders.places:
        raise UserError(f"{name}: does not use a study, so it takes neither -C nor --config-dir")
    if verb.saves:
        return verb.run(options, compose)
    try:
        with at_once():
            return verb.run(options, compose)
    except (Interrupted, KeyboardInterrupt):
        raise Stopped("stopped") from None
    except Exception:
        if stop_requested():  # a library has made an error of its own of the interrupt
            raise Stopped("stopped") from None
        raise


def _help() -> int:
    from unidet.pipelines.verbs.support.help import page

    print(page())
    return 0


def _version() -> int:
    from importlib.metadata import version

    print(f"unidet {version('unidet')}")
    return 0


def _unknown(word: str) -> str:
    """The message about an unknown first word."""
    from unidet.pipelines.engine.graph import STAGES

    if word in STAGES:
        return f"{word} is a stage; run it with: unidet stage={word}"
    hint = suggestion(word, names())
    return f"{word!r} is neither key=value nor a verb; {hint}see: unidet -h"


# --- runs --------------------------------------------------------------------------------------


def _run(overrides: list[str]) -> int:
    from unidet.pipelines.engine.engine import run

    run(compose(overrides))
    return 0


def _sweep(arguments: list[str]) -> int:
    """Every combination of the swept values by Hydra's launcher, ending in one table."""
    from unidet.config.combinations import combinations
    from unidet.pipelines.engine.multirun import Sweep

    launchers = [item for item in arguments[1:] if item.startswith("hydra")]
    ours = [item for item in arguments[1:] if not re.match(r"hydra(?!\.searchpath=)", item)]
    if not ours:
        raise UserError(f"{arguments[0]}: nothing to run; give values to vary, see: unidet -h")
    jobs, swept = combinations(ours)
    return Sweep(jobs, swept, compose).run(
        lambda folder, names: _launch(launchers, folder, names, arguments)
    )


def _launch(launchers: list[str], folder: Path, names: Sequence[str], given: list[str]) -> None:
    """Run jobs of a sweep with the chosen Hydra launcher, by default in this process."""
    import hydra
    from hydra.errors import HydraException

    from unidet.config.compose import explain
    from unidet.pipelines.engine.multirun_job import stop_name

    place = str(folder).replace("'", r"\'")
    sys.argv[1:] = [
        "-m",
        f"hydra.sweep.dir='{place}/launcher'",
        *launchers,
        f"+sweep.folder='{place}'",
        f"+sweep.stop={stop_name()!r}",
        f"+sweep.job=choice({','.join(map(repr, names))})",
    ]
    run = hydra.main(config_path="pkg://unidet.conf", config_name="config", version_base="1.3")
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises then, and does not end the process
    try:
        with stop_file(folder / stop_name()):
            run(_sweep_job)()
    except HydraException as error:
        extras = "; joblib comes with unidet[sweep], submitit with unidet[cluster]"
        reason = explain(error, [])
        raise UserError(reason + extras * ("hydra/launcher" in reason)) from None
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before


def _sweep_job(composed: Any) -> None:
    """Called by a launcher, perhaps in another process or on another machine."""
    from unidet.pipelines.engine.multirun_job import run_job

    run_job(Path(composed.sweep.folder), composed.sweep.job, composed.sweep.stop)
