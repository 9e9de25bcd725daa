"""Who asks a process to stop: signals, a terminal that closes, the end of who started it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import eventually, exit_status

from unidet import cli
from unidet.console import interrupt
from unidet.errors import UserError
from unidet.pipelines.verbs.support.verb import Compose, Verb

WORKER = """
import sys, time
from pathlib import Path
from unidet.console.interrupt import listen, stop_requested
from unidet.console.terminal import Progress
listen()
progress = Progress("training", stoppable=False)
out, step = Path(sys.argv[1]), 0
out.write_text("ready")
while not stop_requested() and step < 3000:
    time.sleep(0.02)
    step += 1
    progress.update(step, 3000)
progress.update(step, 3000)
print("saved")
out.write_text("saved")
sys.exit(75)
"""


def says(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def test_a_terminal_that_closes_lets_the_work_be_saved(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", WORKER, str(out)])
    assert eventually(lambda: says(out, "ready"))
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 75
    assert out.read_text() == "saved"


@pytest.mark.parametrize(("pause", "status"), [(0.0, 75), (1.2, -signal.SIGINT)])
def test_signals_that_come_together_are_one_request(
    tmp_path: Path, pause: float, status: int
) -> None:
    """`timeout` signals the process and its group; a second Ctrl-C of a person comes later."""
    saving = WORKER.replace("stop_requested() and", "os.path.exists('go') and")
    out = tmp_path / "out"
    command = [sys.executable, "-c", "import os\n" + saving, str(out)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as worker:
        assert eventually(lambda: says(out, "ready"))
        worker.terminate()
        time.sleep(0.2)  # else the system hands on one of them
        time.sleep(pause)
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        (tmp_path / "go").touch()
        assert worker.wait() == status
    assert says(out, "saved") == (status == 75)


def test_nohup_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["nohup", sys.executable, "-c", WORKER, str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as worker:
        assert eventually(lambda: says(out, "ready"))
        worker.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait() == 75


AT_ONCE = """
import sys, threading, time
from pathlib import Path
from unidet.console.interrupt import at_once, listen
listen()
out, over = Path(sys.argv[1]), threading.Event()
try:
    with at_once(lambda: out.write_text("left")):
        out.write_text("ready")
        over.wait()  # as one waits for an answer: without end
except KeyboardInterrupt:
    sys.exit(out.read_text() != "left")
"""


def test_what_has_nothing_to_save_ends_at_the_first_signal(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", AT_ONCE, str(out)]) as waiting:
        assert eventually(lambda: says(out, "ready"))
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == 0


# Plays a launcher that runs one job of a sweep, which sleeps for a minute.
LAUNCHER = """
import sys
from pathlib import Path
from unidet.pipelines.engine import multirun_job
from unidet.pipelines.engine.processes import unidet_command

def sleeping(out, attached):
    program, option, code = unidet_command(attached=attached)
    sleep = (
        "import os, sys, time; from pathlib import Path; "
        f"Path({out!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    return [program, option, code.partition("from unidet.cli")[0] + sleep]

multirun_job.unidet_command = sleeping
folder = Path(sys.argv[1])
multirun_job.write_job(folder, "000", "seed=1", [str(folder / "pid")])
multirun_job.run_job(folder, "000", "stop")
"""

# Plays a sweep whose launcher has workers of its own; they are in no terminal's reach.
SWEEP = LAUNCHER.replace(
    'multirun_job.run_job(folder, "000", "stop")',
    """
import os, subprocess, time
from unidet.store import lock

if len(sys.argv) > 2:
    (folder / "worker.pid").write_text(str(os.getpid()))
    multirun_job.run_job(folder, "000", sys.argv[2])
else:
    held = lock.acquire(folder / multirun_job.LOCK)
    worker = [sys.executable, __file__, str(folder), multirun_job.stop_name()]
    subprocess.Popen(worker, start_new_session=True).wait()
""",
)

# Plays the making of data in two processes that never come to an end.
DATA = """
import os, sys, time
from pathlib import Path
from unidet.data.toy.parallel import map_chunks

def work(rows):
    (Path(sys.argv[1]) / f"{rows.start}.pid").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    list(map_chunks(work, 100, 2, None))
"""


def pids(folder: Path) -> list[int]:
    """Numbers of the processes that have said so in a file."""
    return [int(path.read_text() or 0) for path in folder.glob("*pid")]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("script", "count"), [(LAUNCHER, 1), (SWEEP, 2), (DATA, 2)])
def test_no_process_outlives_who_started_it(tmp_path: Path, script: str, count: int) -> None:
    file, folder = tmp_path / "script.py", tmp_path / "work"
    file.write_text(script)
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, file, folder], stderr=subprocess.DEVNULL)
    assert eventually(lambda: len(pids(folder)) == count and all(map(runs, pids(folder))))
    children = pids(folder)
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(map(runs, children)), seconds=20)


def test_a_data_process_that_is_killed_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(DATA.replace("time.sleep(60)", "os._exit(1)"))
    done = subprocess.run([sys.executable, file, tmp_path], capture_output=True, text=True)
    (last,) = done.stderr.splitlines()[-1:]
    assert last.startswith("unidet.errors.UserError: one of 2 processes was killed")


def test_ctrl_c_reaches_no_data_process(tmp_path: Path) -> None:
    """A terminal sends it to all of them, at any time: also before one could have said no."""
    file, folder = tmp_path / "script.py", tmp_path / "work"
    early = "signal.raise_signal(signal.SIGINT), signal.raise_signal(signal.SIGHUP)\n"
    sleepless = DATA.replace("time.sleep(60)", "return [0] * len(rows)")
    file.write_text(f"import signal\nif __name__ != '__main__':\n    {early}{sleepless}")
    folder.mkdir()
    done = subprocess.run([sys.executable, file, folder], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pids(folder)) == 2


def test_a_request_does_not_wait_for_what_data_processes_compute(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    ask = "rows.start or os.kill(os.getppid(), 15); rows.start and time.sleep(60); return [0] * 50"
    lines = DATA.replace("time.sleep(60)", ask).replace(
        "2, None", "2, lambda *_: interrupt.check()"
    )
    listen = lines.replace("    list(", "    interrupt.listen(); list(")
    file.write_text(f"from unidet.console import interrupt\n{listen}")
    started = time.monotonic()
    done = subprocess.run([sys.executable, file, tmp_path], capture_output=True, text=True)
    assert time.monotonic() - started < 30
    (last,) = done.stderr.splitlines()[-1:]
    assert last == "unidet.console.interrupt.Interrupted: stopped on request"


def test_a_signal_that_ends_the_data_processes_too_is_a_request(tmp_path: Path) -> None:
    """`timeout` and batch systems send it to every process of a job."""
    file = tmp_path / "script.py"
    ask = "rows.start or os.kill(os.getppid(), 15); rows.start and time.sleep(60)"
    lines = DATA.replace("time.sleep(60)", f"{ask}; os.kill(os.getpid(), 15)")
    file.write_text(
        lines.replace("    list(", "    interrupt.listen(); list(").replace(
            "import os,", "from unidet.console import interrupt\nimport os,"
        )
    )
    done = subprocess.run([sys.executable, file, tmp_path], capture_output=True, text=True)
    (last,) = done.stderr.splitlines()[-1:]
    assert last == "unidet.console.interrupt.Interrupted: stopped on request"


def test_ctrl_c_while_the_command_is_imported() -> None:
    code = (
        "import signal, sys\n"
        "sys.addaudithook(lambda event, about: event == 'import' and about[0] == 'unidet.cli'"
        " and signal.raise_signal(signal.SIGINT))\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from unidet.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (75, "unidet: stopped before it began\n")


@pytest.mark.parametrize("saves", [False, True])
def test_a_verb_ends_at_the_first_signal_unless_it_saves(
    saves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []

    def run(options: Namespace, compose: Compose) -> int:
        signal.raise_signal(signal.SIGINT)
        reached.append("end")
        return 0

    assert status_of(run, saves, monkeypatch) == (0 if saves else interrupt.EXIT_CODE)
    assert reached == ["end"] * saves


@pytest.mark.parametrize("error", [ValueError, UserError])
def test_an_interrupt_of_which_a_library_makes_another_error(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pydantic does, where it builds its validators as the command starts."""

    def run(options: Namespace, compose: Compose) -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise error("SchemaError: KeyboardInterrupt:") from None
        return 0

    assert status_of(run, False, monkeypatch) == interrupt.EXIT_CODE


def status_of(
    run: Callable[[Namespace, Compose], int], saves: bool, monkeypatch: pytest.MonkeyPatch
) -> int:
    """What a verb that does this ends with."""
    verb = Verb("Files", "waits", "unidet doctor", run, takes_overrides=False, saves=saves)
    monkeypatch.setattr(cli, "load", lambda name: verb)
    monkeypatch.setattr(interrupt, "_requested", threading.Event())
    handlers = {number: signal.getsignal(number) for number in interrupt._SIGNALS}
    try:
        return exit_status("doctor")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
