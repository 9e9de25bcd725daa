"""Servers are found as by ssh; downloads ask for a whole piece at once, and end in one error."""

from __future__ import annotations

import hashlib
import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.sftp import CMD_READ

from unidet.errors import UserError
from unidet.store.paths import Layout
from unidet.store.record import StoredFile
from unidet.store.remote import Refused, Remote
from unidet.store.ssh import KnownHosts
from unidet.store.ssh_config import settings_of
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


RELAY = """import socket, sys, threading, os, pathlib
host, port = sys.argv[-2:] if sys.argv[-1].isdigit() else sys.argv[-2][1:].split("]:")
pathlib.Path(sys.argv[0]).with_name("arguments").write_text(" ".join(sys.argv[1:]))
line = socket.create_connection((host, int(port)))
def up():
    while data := os.read(0, 65536):
        line.sendall(data)
    line.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := line.recv(65536):
    os.write(1, data)
"""
"""A stand-in for `ssh -W [host]:port jump` and `nc host port`, which writes down its arguments."""


@pytest.mark.parametrize(
    ("setting", "arguments"),
    [
        ("ProxyJump one, me@two:2200", "-J ssh://one -W [127.0.0.1]:{port} ssh://me@two:2200"),
        ("ProxyJump one", "-W [127.0.0.1]:{port} ssh://one"),
        ("ProxyCommand ssh %h %p", "127.0.0.1 {port}"),
    ],
)
def test_a_server_behind_another_is_reached_as_by_ssh(
    sshd: Any,
    home: Path,
    setting: str,
    arguments: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = f"Host cluster\n  HostName 127.0.0.1\n  {setting}\n"
    (home / ".ssh" / "config").write_text(config)
    (tmp_path / "bin").mkdir()
    relay = tmp_path / "bin" / "ssh"
    relay.write_text(f"#!{sys.executable}\n{RELAY}")
    relay.chmod(0o700)
    monkeypatch.setenv("PATH", f"{relay.parent}:{os.environ['PATH']}")
    (tmp_path / "remote" / "store" / "v1").mkdir(parents=True)
    url = sshd.url(tmp_path / "remote").replace("127.0.0.1", "cluster")
    assert Remote(url).is_store()
    assert (relay.parent / "arguments").read_text() == arguments.format(port=sshd.port)


def test_a_jump_that_fails_is_named(sshd: Any, home: Path, tmp_path: Path) -> None:
    (home / ".ssh" / "config").write_text("Host *\n  ProxyCommand false\n")
    with pytest.raises(UserError, match=r"does the ProxyJump or ProxyCommand of ~/\.ssh/config"):
        Remote(sshd.url(tmp_path))


def test_the_name_of_a_host_is_no_command(home: Path, tmp_path: Path) -> None:
    (home / ".ssh" / "config").write_text("Host *\n  ProxyCommand nc %h %p\n")
    with pytest.raises(UserError, match="no name of a host"):
        Remote(f"sftp://a;touch${{IFS}}{tmp_path.name}/x")


def test_servers_that_the_machine_knows_are_known_to_its_users(
    sshd: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ssh" / "known_hosts").rename(tmp_path / "known")
    with pytest.raises(UserError, match="connect to it once by ssh"):
        Remote(sshd.url(tmp_path))
    monkeypatch.setattr("unidet.store.ssh.OF_ALL_USERS", str(tmp_path / "known"))
    assert not Remote(sshd.url(tmp_path)).is_store()


@pytest.mark.parametrize(
    ("setting", "file", "name"),
    [
        ("", "known_hosts", "[127.0.0.1]:{port}"),
        ("UserKnownHostsFile ~/.ssh/absent ~/.ssh/other", "other", "[127.0.0.1]:{port}"),
        ("HostKeyAlias Node", "known_hosts", "node"),
    ],
)
def test_a_host_is_found_by_the_name_and_the_key_that_the_config_gives(
    sshd: Any, home: Path, setting: str, file: str, name: str, tmp_path: Path
) -> None:
    """A name with capitals, which an address keeps; in a file with a comment in latin-1."""
    folder = home / ".ssh"
    known = folder / "known_hosts"
    key = known.read_text().partition(" ")[2]
    known.unlink()
    (folder / file).write_text(f"{name.format(port=sshd.port)} {key}")
    config = f"# caf\xe9\nHost MyCluster\n  HostName 127.0.0.1\n  {setting}\n"
    (folder / "config").write_text(config, encoding="latin-1")
    assert not Remote(sshd.url(tmp_path).replace("127.0.0.1", "MyCluster")).is_store()


def test_files_that_the_config_includes(sshd: Any, home: Path, tmp_path: Path) -> None:
    """They end no section: what follows the `Include` is of all hosts, or of those before it."""
    folder = home / ".ssh"
    key = folder / "id_ed25519"
    key.rename(folder / "other_key")
    (folder / "config.d").mkdir()
    (folder / "config.d" / "one").write_text("Host one\n  HostName 127.0.0.1\n")
    (folder / "config.d" / "two").write_text("HostKeyAlias two\nHost three\n")
    (folder / "known_hosts").write_text(
        (folder / "known_hosts").read_text().replace("[127.0.0.1]", "[localhost]")
    )
    (folder / "config").write_text(
        f'include "config.d/o*" ~/.ssh/absent {folder}/config.d # all\n'
        f"HostName localhost\nIdentityFile {folder}/other_key\n"
        "Host other\n  Include = ~/.ssh/config.d/two\n  User nobody\n"
    )
    found = settings_of("one", None)
    assert found["host"] == "127.0.0.1"  # the first that is given counts
    assert found["key_filename"] == [str(folder / "other_key")]
    assert found["alias"] is None
    assert "username" not in found
    assert settings_of("other", None)["alias"] == "two"
    assert settings_of("other", None)["username"] == "nobody"
    assert not Remote(sshd.url(tmp_path).replace("127.0.0.1", "somewhere")).is_store()


def test_settings_that_include_each_other(home: Path) -> None:
    (home / ".ssh" / "config").write_text("Include config\n")
    with pytest.raises(UserError, match="more than 16 files deep"):
        Remote("sftp://somewhere/x")


@pytest.mark.parametrize(
    ("host", "given"),
    [("[::1]", "::1"), ("me@[fe80::1]:2200", "fe80::1"), ("me:a@Node", "node")],
)
def test_an_address_of_ipv6_names_one_server(
    host: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []
    monkeypatch.setattr(KnownHosts, "_connect", lambda self: reached.append(self.host))
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
    with pytest.raises(UserError, match=r"; give a key that logs in without a question"):
        Remote(sshd.url(tmp_path))
