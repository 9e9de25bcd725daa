"""The address of a remote: what it may be, and the file system that it names."""

from __future__ import annotations

import os
import re
from typing import Any

from unidet.errors import UserError
from unidet.redaction import redact_argument

# Here a file appears atomically only by renaming a temporary one.
RENAMING = ("file", "local", "sftp", "ssh")
# They have no folders, only buckets, which users create.
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "az")

_MISSING = {
    **dict.fromkeys(("sftp", "ssh"), "in the checkout: pip install '.[remote]'"),
    **dict.fromkeys(("s3", "s3a"), "in the checkout: pip install '.[s3]'"),
    **dict.fromkeys(("gs", "gcs"), "pip install gcsfs"),
    **dict.fromkeys(("abfs", "az"), "pip install adlfs"),
}
"""What to run where the library for a protocol is not installed."""

# Mistyped addresses that would otherwise be used as names of local folders.
_MISTYPED_ADDRESS = re.compile(
    r"[A-Za-z][\w+.-]*:/(?!/)|(?:sftp|ssh|s3)(?::|/{1,2}[^/]*@)|[^/]+@[^/]+:|[^/]*:[^/]*@"
)
_CHAIN = re.compile(r"::(?![^/]*\])")  # no address of IPv6, which stands in [ ]
_OF_FILES = re.compile(r"(file|local):(?!///)", re.IGNORECASE)


def connect(url: str) -> tuple[Any, str]:
    """The file system of an address and the path on it; imports only the libraries it needs.

    Raises:
        UserError: no store can be reached in this way, or a library is not installed.
    """
    protocol = url.partition("://")[0] if "://" in url else ""
    wrong = _wrong_address(url, protocol)
    if wrong:
        raise UserError(f"remote {redact_argument(url)}: {wrong}")
    try:
        if protocol in ("sftp", "ssh"):
            from unidet.store import ssh

            return ssh.connect(url)
        if protocol in ("s3", "s3a"):
            from unidet.store import s3

            return s3.connect(url)
        from fsspec.core import url_to_fs

        return url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        remedy = f"run {_MISSING[protocol]}" if protocol in _MISSING else str(error)
        raise UserError(
            f"remote {redact_argument(url)}: a library for {protocol}:// is not installed; {remedy}"
        ) from error


def _wrong_address(url: str, protocol: str) -> str:
    """Why an address is not used, although fsspec would make something of it; else empty."""
    if _CHAIN.search(url):  # fsspec's own SFTP would take any host for the one that is meant
        return "an address names one server, or is a folder without ::"
    if _OF_FILES.match(url):
        return "names a server or no whole path; give the folder as a path"
    if not protocol:
        mistyped = _MISTYPED_ADDRESS.match(url) and not os.path.exists(url)
        text = "is no folder, and an address is given as sftp://user@host/folder"
        return text if mistyped else ""
    if protocol not in (*RENAMING, *OBJECT_STORES):
        text = "give a folder, sftp://user@host/folder or s3://bucket/folder"
        return f"no store can be reached by {protocol}://; {text}"
    if protocol in OBJECT_STORES and _names_a_user(url):
        # Its library would say a secret with a slash, as the name of a bucket.
        return (
            "takes no user and no password, which are set as for other programs (for S3, "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials); give "
            f"{protocol}://bucket/folder"
        )
    # S3 would take it for the name of a folder, token and all; SFTP would leave it out.
    text = "an address takes no ? and no #; in a password write %3F and %23"
    return text if {"?", "#"} & {*url} else ""


def _names_a_user(url: str) -> bool:
    """Whether there is a colon in the place of a bucket's name, which has one only as an ARN."""
    bucket = url.partition("://")[2].partition("/")[0]
    return ":" in bucket and not bucket.startswith("arn:")
