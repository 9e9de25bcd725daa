"""Servers are known, and users logged in, as ssh does it; nothing is asked."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest

from unidet.errors import UserError
from unidet.store.remote import Remote
from unidet.store.ssh_config import settings_of


def make_key(path: Path, *options: str) -> str:
    """A new key; its kind and data."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path), *options]
    subprocess.run(command, check=True)
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


@pytest.mark.parametrize(
    ("lines", "is_known"),
    [
        ("{host} {key}", True),
        ("other,{host} {key} caf\xe9", True),
        ("{pattern} {key}", True),
        ("127.0.0.1 {key}", True),  # of whatever port
        ("127.0.0.1 {other}\n{host} {key}", True),
        ("{host} {other}\n{host} {key}", True),  # machines that share a name
        ("gone ssh-rsa AAAA!\ngone ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB\n{host}\n{host} {key}", True),
        ("@cert-authority * ssh-rsa AAAA\n{host} {key}", True),
        ("@cert-authority * {key}", False),
        ("# {host} {key}", False),
        ("{pattern},!{host},!127.0.0.1 {key}", False),
        ("[127.0.0.1]:1 {key}", False),
        ("|1|AAAA|AAAA {key}\n|1|x {key}", False),
    ],
)
def test_lines_of_known_hosts(
    sshd: Any, home: Path, lines: str, is_known: bool, tmp_path: Path
) -> None:
    known = home / ".ssh" / "known_hosts"
    host, key = known.read_text().strip().split(" ", 1)
    names = {"host": host, "pattern": host.replace("0.1]", "?.*]")}
    text = lines.format(key=key, other=make_key(tmp_path / "key"), **names)
    known.write_text(f"{text}\n", "latin-1")
    if is_known:
        assert not Remote(sshd.url(tmp_path)).is_store()
    else:
        with pytest.raises(UserError, match="not found in known_hosts; connect to it once by ssh"):
            Remote(sshd.url(tmp_path))


def test_hashed_names(sshd: Any, home: Path, tmp_path: Path) -> None:
    known = home / ".ssh" / "known_hosts"
    subprocess.run(["ssh-keygen", "-H", "-f", known], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    assert not Remote(sshd.url(tmp_path)).is_store()


def test_a_server_whose_key_has_changed_or_is_revoked(
    sshd: Any, home: Path, tmp_path: Path
) -> None:
    known = home / ".ssh" / "known_hosts"
    line = known.read_text()
    known.write_text(f"{line.split()[0]} {make_key(tmp_path / 'key')}\n")
    with pytest.raises(UserError, match=r"another key than in known_hosts; .* ssh-keygen -R"):
        Remote(sshd.url(tmp_path))
    known.write_text(f"{line}@revoked * {line.split(' ', 1)[1]}")
    with pytest.raises(UserError, match="@revoked"):
        Remote(sshd.url(tmp_path))


def test_the_kinds_of_keys_that_are_known_are_asked_for(
    sshd: Any, home: Path, tmp_path: Path
) -> None:
    """A server may have several, of which the first would not be known."""
    with (home / ".ssh" / "known_hosts").open("a") as known:
        known.write(f"[127.0.0.1]:{sshd.port} {make_key(tmp_path / 'key', '-t', 'rsa')}\n")
    transport = Remote(sshd.url(tmp_path))._system.client.get_transport()
    first = transport.get_security_options().key_types[:3]
    assert first == ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")


@pytest.mark.parametrize("content", [None, b"\x80\x9f", b"garbage", "folder"])
def test_an_identity_that_cannot_be_read_is_passed_over(
    sshd: Any, home: Path, tmp_path: Path, content: Any
) -> None:
    """As one of settings that several machines share."""
    identity = home / ".ssh" / "other"
    if content == "folder":
        identity.mkdir()
    elif content is not None:
        identity.write_bytes(content)
    (home / ".ssh" / "config").write_text(f"IdentityFile {identity}\n")
    assert not Remote(sshd.url(tmp_path)).is_store()


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that has six wrong keys, as many as a server hears, and then the right one."""
    place = home / "agent"
    command = ["ssh-agent", "-D", "-a", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
            right = (home / ".ssh" / "id_ed25519").rename(home / ".ssh" / "right")
            for number in range(6):
                make_key(home / f"key{number}")
            keys = [*(home / f"key{number}" for number in range(6)), right]
            subprocess.run(["ssh-add", "-q", *keys], check=True)
            public = subprocess.run(
                ["ssh-keygen", "-y", "-f", right], check=True, capture_output=True
            )
            (home / ".ssh" / "right.pub").write_bytes(public.stdout)
            right.unlink()
            yield
        finally:
            process.terminate()


def test_more_keys_in_an_agent_than_a_server_hears(
    sshd: Any, home: Path, agent: None, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="ends the log-in; if ssh-agent has many keys, give"):
        Remote(sshd.url(tmp_path))
    for name in ("right", "right.pub"):
        (home / ".ssh" / "config").write_text(
            f"IdentityFile {home}/.ssh/{name}\nIdentitiesOnly yes\n"
        )
        assert not Remote(sshd.url(tmp_path)).is_store()
    (home / ".ssh" / "config").write_text(f"IdentityFile {home}/.ssh/absent\nIdentitiesOnly yes\n")
    assert settings_of("host", None)["allow_agent"] is False


class Asking(paramiko.ServerInterface):
    """A server that wants a key and then a code."""

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,keyboard-interactive"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:
        return paramiko.InteractiveQuery("\x1b[31mCode", "\x1b]0;", ("Code: ", True))


def test_a_server_that_asks_a_question_is_told_none(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = make_key(tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            line, _ = listening.accept()
            transport = paramiko.Transport(line)
            transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(tmp_path / "key"))
            with suppress(EOFError, paramiko.SSHException):
                transport.start_server(server=Asking())

        threading.Thread(target=serve, daemon=True).start()
        (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
        with pytest.raises(UserError, match="asks for more than a key; give a key that logs in"):
            Remote(f"sftp://me@127.0.0.1:{port}/x")
    assert capfd.readouterr().out == ""
