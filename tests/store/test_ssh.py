"""Servers are found as by ssh; downloads ask for a whole piece at once, and end in one error."""

from __future__ import annotations

import gc
import hashlib
import os
import pwd
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest
from commands import eventually
from paramiko.sftp import CMD_READ

from unidet.errors import UserError
from unidet.store import ssh
from unidet.store.paths import Layout
from unidet.store.record import StoredFile
from unidet.store.remote import Refused, Remote
from unidet.store.ssh import SecureShell
from unidet.store.ssh_files import ReadAhead

CONTENT = os.urandom(5_000_000)  # two pieces; the last request is of no whole 32 kB
FILE = StoredFile(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture
def remote(sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """One that has `FILE`."""
    blob = Layout(tmp_path / "remote").blob(FILE.sha256)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    monkeypatch.setenv("HOME", str(sshd.home))
    return Remote(sshd.url(tmp_path / "remote"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(bytes asked for, requests to read that wait for their answer) of each request to read."""
    asked: list[tuple[int, int]] = []
    waiting = 0
    ask, answered = ReadAhead._ask, ReadAhead._async_response

    def asking(self: Any, place: int, length: int) -> int:
        nonlocal waiting
        waiting += 1
        asked.append((length, waiting))
        return ask(self, place, length)

    def answering(self: Any, *given: Any) -> None:
        nonlocal waiting
        waiting -= 1
        answered(self, *given)

    monkeypatch.setattr(ReadAhead, "_ask", asking)
    monkeypatch.setattr(ReadAhead, "_async_response", answering)
    return asked


def test_a_piece_is_asked_for_at_once(
    remote: Remote, tmp_path: Path, reads: list[tuple[int, int]]
) -> None:
    """Not 32 kB at a time, each of which waits for the answer to the one before."""
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert max(waiting for _, waiting in reads) > 20


def test_a_server_that_answers_before_the_next_request_sends_everything_once(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko's own reading ahead asks twice, and keeps in memory what nobody reads."""
    asked = 0
    ask = paramiko.SFTPClient._async_request

    def slowly(self: Any, file: Any, kind: int, *given: Any) -> Any:
        nonlocal asked
        number = ask(self, file, kind, *given)
        if kind == CMD_READ:
            asked += given[-1]
            time.sleep(0.002)
        return number

    monkeypatch.setattr(paramiko.SFTPClient, "_async_request", slowly)
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert asked <= len(CONTENT) + 3  # asked for once more where it may end


def test_a_server_that_sends_less_than_it_was_asked_for(
    remote: Remote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reads: list[tuple[int, int]],
) -> None:
    """What is missing is asked for, not the whole piece again."""
    ask = ReadAhead._ask
    monkeypatch.setattr(
        ReadAhead, "_ask", lambda self, place, length: ask(self, place, min(length, 15_000))
    )
    remote.download(FILE, tmp_path / "arrived")
    assert (tmp_path / "arrived").read_bytes() == CONTENT
    assert len(reads) < 500


def test_a_file_that_ends_early_ends_no_transfer(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = remote.layout.blob(FILE.sha256)
    with pytest.raises(Refused, match="does not have this hash"):
        remote.download(FILE, tmp_path / "arrived", lambda _: os.truncate(blob, 4_200_000))
    assert not (tmp_path / "arrived").exists()


@pytest.mark.parametrize("method", ["_answer", "__init__"])
def test_a_file_that_the_server_s_disk_cannot_read_is_refused_alone(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """As it is opened or read; OpenSSH then says "Failure", and paramiko gives no errno."""

    def failing(self: Any, *given: Any) -> None:
        raise OSError("Failure")

    monkeypatch.setattr(ReadAhead, method, failing)
    with pytest.raises(Refused, match=f"{FILE.sha256}: cannot be read"):
        remote.download(FILE, tmp_path / "arrived")
    assert not (tmp_path / "arrived").exists()


def test_a_line_that_ends_is_one_error(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the connection was lost"):
        remote.download(FILE, tmp_path / "arrived", lambda _: remote.cut())
    assert not (tmp_path / "arrived").exists()


def test_a_server_that_ends_the_session_is_one_error(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is stopped; requests can still be sent, and no answer to them comes."""

    def ended(*_: Any) -> None:
        raise EOFError

    with pytest.raises(UserError, match="the connection was lost"):
        remote.download(
            FILE,
            tmp_path / "arrived",
            lambda _: monkeypatch.setattr(paramiko.SFTPClient, "_read_packet", ended),
        )
    assert not (tmp_path / "arrived").exists()


def test_nothing_is_asked_for_behind_the_end_that_a_server_tells(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[tuple[int, int]]
) -> None:
    """Answers that arrive behind it would be kept, four megabytes for each end."""
    given = [b"x", b""] * 1000
    monkeypatch.setattr(ReadAhead, "_answer", lambda *_: given.pop(0))
    with pytest.raises(Refused, match="does not have this hash"):
        remote.download(FILE, tmp_path / "arrived")
    assert len(reads) < 200


def test_settings_of_the_user(sshd: Any, home: Path, tmp_path: Path) -> None:
    """A name with capitals, which an address keeps."""
    user = sshd.url(tmp_path).split("//")[1].split("@")[0]
    (home / ".ssh" / "config").write_text(
        f"Host MyCluster\n HostName 127.0.0.1\n Port {sshd.port}\n User {user}\n"
    )
    assert not Remote(f"sftp://MyCluster{tmp_path}").is_store()
    assert not Remote(f"sftp://{user}@MyCluster:{sshd.port}{tmp_path}").is_store()
    with pytest.raises(UserError, match="Connection refused"):
        Remote(f"sftp://MyCluster:1{tmp_path}")


def test_a_server_that_is_not_known(sshd: Any, home: Path, tmp_path: Path) -> None:
    known = home / ".ssh" / "known_hosts"
    line = known.read_text()
    known.write_text("")
    with pytest.raises(UserError, match=r"host key is known for .*; connect to it once by ssh"):
        Remote(sshd.url(tmp_path))
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"]
    subprocess.run(command, check=True)
    other = (tmp_path / "key.pub").read_text()
    known.write_text(f"{line.split()[0]} {other}")
    with pytest.raises(UserError, match=r"key for .* has changed .*; .* ssh-keygen -R"):
        Remote(sshd.url(tmp_path))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo; echo 'no route' >&2; echo later >&2; exit 255", "x: no route$"),
        ("echo Welcome to the cluster; cat", "prints text at each log-in there"),
        ("exit 255", "begins no session"),
        ("exec 0<&- 1>&-; sleep 100", "begins no session"),
    ],
)
def test_why_no_session_begins(own_ssh: Callable[[str], Path], script: str, says: str) -> None:
    own_ssh(script)
    with pytest.raises(UserError, match=says):
        Remote("sftp://cluster/x")


def test_a_password_reaches_ssh_and_no_list_of_processes(own_ssh: Callable[[str], Path]) -> None:
    ask = '"$SSH_ASKPASS"'
    folder = own_ssh(
        f"""{ask} "me@here's password: " > "$0.heard"; echo "$@" > "$0.given"
        ({ask} "me@jump's password: " >> "$0.heard" || exit 1)
        {ask} "Are you sure you want to continue connecting?" >> "$0.heard" || exit 1"""
    )
    with pytest.raises(UserError):
        Remote("sftp://me%40here:a%2Fb%3F%23%20$x@cluster:99/data")
    assert (folder / "ssh.heard").read_text() == "a/b?# $x\n"
    given = (folder / "ssh.given").read_text()
    assert given.endswith("-oBatchMode=no -p99 -lme@here -s -- cluster sftp\n")


def test_without_a_password_nothing_is_asked(
    own_ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by the ssh of a jump host, which knows of no batch mode."""
    monkeypatch.setenv("SSH_ASKPASS", "ssh-askpass")
    folder = own_ssh(
        """echo "$SSH_ASKPASS" "$@" > "$0.given"
        cut -d" " -f 1,6 /proc/$$/stat > "$0.session\""""
    )
    with pytest.raises(UserError):
        Remote("sftp://cluster/data")
    given = (folder / "ssh.given").read_text()
    assert given.startswith("false -oStrictHostKeyChecking=yes ")
    assert given.endswith("-oBatchMode=yes -s -- cluster sftp\n")
    process, session = (folder / "ssh.session").read_text().split()
    assert process == session  # of its own, without the terminal


def test_a_machine_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"ssh is not installed \(Debian, Ubuntu: apt install"):
        Remote("sftp://cluster/x")


def test_no_session_outlives_its_remote(sshd: Any, home: Path, tmp_path: Path) -> None:
    remote = Remote(sshd.url(tmp_path))
    process = remote._system._process
    assert process.poll() is None
    del remote
    gc.collect()
    assert process.poll() is not None


def test_nothing_that_ssh_has_started_outlives_its_remote(
    own_ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ssh of a jump host waits for that for as long as it likes."""
    monkeypatch.setattr(ssh, "PATIENCE", 0.5)
    folder = own_ssh('sleep 1000 & echo $! > "$0.child"; wait')
    with pytest.raises(UserError, match="does not answer"):
        Remote("sftp://cluster/x")
    child = Path("/proc", (folder / "ssh.child").read_text().strip(), "stat")
    assert eventually(lambda: not child.exists() or ") Z " in child.read_text(), 10)


@pytest.mark.parametrize(
    "place", ["a;touch${IFS}x", "-oProxyCommand=x", "`x`@host", "-x@host", "a%00@host", "@host"]
)
def test_names_that_a_shell_would_run_or_that_are_none(place: str) -> None:
    with pytest.raises(UserError, match="no name of a host, or of a user"):
        Remote(f"sftp://{place}/x")


def test_a_port_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="or no port; give sftp:"):
        Remote("sftp://cluster:99999/x")


@pytest.mark.parametrize(
    ("host", "given"),
    [("[::1]", "::1"), ("me@[fe80::1]:2200", "fe80::1"), ("me:a@Node", "Node")],
)
def test_an_address_of_ipv6_names_one_server(
    host: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []
    monkeypatch.setattr(SecureShell, "_connect", lambda self: reached.append(self.host))
    Remote(f"sftp://{host}/data")
    assert reached == [given]


def test_a_folder_below_the_home_folder_there(remote: Remote, sshd: Any) -> None:
    """Given from there to a folder for tests, so that nothing is written into the home folder."""
    there = os.path.relpath(remote.layout.root, pwd.getpwuid(os.getuid()).pw_dir)
    assert Remote(sshd.url(Path("/~", there))).has(FILE)
    assert not Remote(sshd.url(Path("/~"))).has(FILE)


def test_a_server_that_lets_nobody_in_says_what_helps(
    sshd: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ssh" / "id_ed25519").unlink()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(UserError, match=r"or give a key that logs in without a question"):
        Remote(sshd.url(tmp_path))
