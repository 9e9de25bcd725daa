"""The paths below an images folder that the name of an image in a label file may mean."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, urlsplit

from unidet.formats.names import without_upload_mark

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
"""Endings of image files."""
_COCO_NUMBER = re.compile(r"\d{12}(?=\.\w+$)")
_DRIVE = re.compile(r"[A-Za-z]:/")


def slashed(written: str) -> str:
    """A name as a path with `/`, of an address its absolute path; empty for an empty one."""
    text = written.strip().replace("\\", "/")
    if "://" in text:
        text = f"/{without_address(text)}"
    elif "/?d=" in text:  # Label Studio's local files
        text = "/" + parse_qs(text.partition("?")[2]).get("d", [text])[0].replace("\\", "/")
    return str(PurePosixPath(text)) if text else ""


def without_address(url: str) -> str:
    """The path of an address, without its host, query and fragment, which name no file."""
    try:
        return urlsplit(url).path.lstrip("/")
    except ValueError:  # such as http://[x
        return url


def is_foreign(path: str) -> bool:
    """Whether a path with `/` is of another machine or place, as absolute ones are."""
    return path.startswith("/") or bool(_DRIVE.match(path)) or ".." in path.split("/")


def likely(written: str, url: str) -> list[str]:
    """Possible relative paths in order of preference: see `image_files.image_names`.

    Args:
        url: as a path, without its query; empty where the record has none.
    """
    path = slashed(written)
    names = [str(PurePosixPath(written)), path] if written and not is_foreign(path) else []
    names += ["/".join(url.split("/")[-2:]), url.rpartition("/")[2]] if url else []
    names += _ends(path)
    if number := _COCO_NUMBER.search(written):
        plain = written[number.start() :]
        names += [plain, f"train2017/{plain}", f"val2017/{plain}"]
    return list(dict.fromkeys(name for name in names if not is_foreign(name)))


def unlikely(written: str) -> list[str]:
    """Further ones where there is none of these: without the mark that Label Studio puts before the
    names of uploads; with an ending where there is none."""
    ends = _ends(slashed(written))
    split = [end.rpartition("/") for end in ends]
    names = ends + [f"{folder}{slash}{without_upload_mark(name)}" for folder, slash, name in split]
    bare = [] if PurePosixPath(written).suffix.lower() in SUFFIXES else names
    return list(dict.fromkeys(names + [f"{name}{end}" for name in bare for end in SUFFIXES]))


def _ends(path: str) -> list[str]:
    """The ends of a path, the longest first, without what leads out of a folder."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return ["/".join(parts[row:]) for row in range(len(parts))]
