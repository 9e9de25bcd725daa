"""Credentials for S3 that cannot be had are one line; nothing is taken for an absent store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.store.remote import Remote

pytest.importorskip("s3fs", reason="pip install '.[s3]'")
SSO = "sso_session=s\nsso_account_id=1\nsso_role_name=a\n[sso-session s]\nsso_start_url=https://x\n"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (f"{SSO}sso_region=us-east-1\n", "Token for s does not exist; log in or renew"),
        ("role_arn=arn:aws:iam::1:role/x\nweb_identity_token_file=/absent\n", "/absent'; log in"),
        ("credential_process = false\n", "custom-process"),
    ],
)
def test_credentials_that_cannot_be_had(
    settings: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(f"[default]\nregion=us-east-1\n{settings}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=rf"no credentials: .*{text}"):
        Remote("s3://bucket/x").is_store()
    assert not caplog.records
