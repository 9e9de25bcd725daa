"""A store in a temporary folder, a stage that writes what it is told, and a real SSH server."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unidet.store.record import Action
from unidet.store.store import Store, key_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outputs")


@pytest.fixture
def publish(store: Store) -> Callable[..., Action]:
    """publish({"name": b"content"}, stage="rpn", seed=0): an action of `stage` with these files.

    `inputs` are the actions that it was made from, `seconds` what it cost.
    """

    def run(
        files: Mapping[str, bytes],
        stage: str = "rpn",
        inputs: Sequence[Action] = (),
        seconds: float = 1.0,
        **config: Any,
    ) -> Action:
        preimage = {"schema": 1, "stage": stage, "config": config}
        key = key_of(preimage)
        out = store.draft(key)
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
        return store.publish(
            key,
            preimage,
            stage,
            out,
            started=time.time(),
            seconds=seconds,
            inputs={one.stage: one for one in inputs},
        )

    return run


# --- OpenSSH's server on the loopback, for one user with one key --------------------------------

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


SSH = """
set -- -oUserKnownHostsFile="$HOME/.ssh/known_hosts" -oIdentityFile="$HOME/.ssh/id_ed25519" "$@"
[ ! -f "$HOME/.ssh/config" ] || exec {ssh} -F "$HOME/.ssh/config" "$@"
exec {ssh} -F none "$@"
"""
"""Without it, ssh takes the home folder from the list of users."""


@dataclass(frozen=True)
class Server:
    """`home` is a HOME whose .ssh knows the server and holds the key it accepts."""

    pid: int
    port: int
    home: Path

    def url(self, folder: Path) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{folder}"


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Runs the server; skips the test where OpenSSH's server is not installed."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server (Debian, Ubuntu: apt install openssh-server)")
    port, home = _free_port(), folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for path in (folder / "host_key", home / ".ssh" / "id_ed25519"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True
        )
    shutil.copy(home / ".ssh" / "id_ed25519.pub", folder / "authorized_keys")
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it gives up its privileges
    arguments = [program, "-D", "-e", "-f", folder / "config"]
    with (folder / "log").open("wb") as log, subprocess.Popen(arguments, stderr=log) as process:
        try:
            _wait(port, process, folder / "log")
            with pytest.MonkeyPatch.context() as patch:
                _replace_ssh(folder / "bin", SSH.format(ssh=shutil.which("ssh")), patch)
                yield Server(process.pid, port, home)
        finally:
            process.terminate()


def _replace_ssh(folder: Path, script: str, patch: pytest.MonkeyPatch) -> None:
    """Makes a folder with a script that runs in place of `ssh`."""
    folder.mkdir()
    (folder / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "ssh").chmod(0o700)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        if process.poll() is not None:
            pytest.fail(f"sshd ended at once: {log.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("sshd does not answer")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def home(sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a copy of .ssh to change."""
    shutil.copytree(sshd.home, tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def own_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a script in place of `ssh`; its folder."""

    def put(script: str) -> Path:
        _replace_ssh(tmp_path / "bin", script, monkeypatch)
        return tmp_path / "bin"

    return put
