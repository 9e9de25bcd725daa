"""Lists of names as other programs write them, which would be taken for names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from unidet.errors import UserError

_SHOWN = 60
_ADVICE = "write one name a line and nothing else, synonyms after tabs"
_OPENINGS = {"[": "JSON", "{": "JSON", "<": "XML or HTML"}
_YAML = re.compile(r"\s*(names|nc|path|train|val|test|classes):.*")  # YOLO's data.yaml
_PBTXT = re.compile(r"item\s*\{\s*")  # TensorFlow's label maps
_NUMBERED = re.compile(r"(\d+)\s*[:,;.\s]\s*\S")
_QUOTED = re.compile(r"(['\"])[^'\"]*\1(\s*,\s*\1[^'\"]*\1)*")
_SEPARATORS = ";|\n，、；｜،؛"  # commas of Chinese, Japanese and Arabic among them
_FILE = re.compile(r"\S+\.(txt|json|jsonl|ya?ml|csv|tsv|names|list|pbtxt|npy|npz)", re.I)
_NAMED_LIST = re.compile(
    r"(ms[-_ ]?)?coco[\d_-]*|lvis[-_ ]?(v?[\d.]+)?|(objects[-_ ]?365|o365)[-_ ]?(v\d)?"
    r"|open[-_ ]?images?[-_ ]?(v?\d)?|oid[-_ ]?(v?\d)?|image[-_ ]?net[-_ ]?(1k|21k)?",
    re.I,
)


def require_one_a_line(where: str, lines: Sequence[str]) -> None:
    """UserError where the lines of a file are no names but another program's list of them.

    Args:
        lines: without comments and empty ones.
    """
    if not lines:
        return
    first = lines[0].strip()
    kind = _OPENINGS.get(first[0], "")
    if any(map(_YAML.fullmatch, lines)) or all(line.startswith("- ") for line in lines):
        kind = "YAML"
    if _PBTXT.fullmatch(first):
        kind = "a label map"
    if kind:
        raise UserError(f"{where}: is {kind}, begins with {first!r:.{_SHOWN}}; {_ADVICE}")
    if all("," in line for line in lines):
        raise UserError(f"{where}: has commas in every line ({first!r:.{_SHOWN}}); {_ADVICE}")
    numbers = [int(match[1]) for line in lines if (match := _NUMBERED.match(line.strip()))]
    if len(numbers) == len(lines) > 1 and numbers[0] in (0, 1) and _are_in_turn(numbers):
        raise UserError(f"{where}: numbers its lines ({first!r:.{_SHOWN}}); {_ADVICE}")
    if len(lines) == 1 and len(_parts(first)) > 1:
        raise UserError(f"{where}: has several names in one line ({first!r:.{_SHOWN}}); {_ADVICE}")


def require_commas(text: str) -> None:
    """UserError where names are parted as others part them: GroundingDINO's `cat . dog .` and
    `cat. dog.`, `cat | dog`, `猫，狗`, lines, a list of Python's or JSON's."""
    is_list = (text.startswith("[") and text.endswith("]")) or bool(_QUOTED.fullmatch(text))
    parts = text.strip("[]").split(",") if is_list else _parts(text)
    bare = (part.strip(" .。,;'\"\n") for part in parts)
    names = ", ".join(filter(None, bare))
    if is_list or len(parts) > 1:
        raise UserError(f'vocabulary: {text!r:.{_SHOWN}}: separate names by commas: "{names}"')


def require_names(text: str, lists: Sequence[str]) -> None:
    """UserError where one word names a file that is not there, or a list of none of these names."""
    choice = f"a file with one a line, or one of {', '.join(lists)}"
    if "," not in text and (_FILE.fullmatch(text) or text.endswith(".txt") or "/" in text):
        raise UserError(f'vocabulary: there is no file {text}; give names ("cat, dog"), {choice}')
    if _NAMED_LIST.fullmatch(text):
        raise UserError(
            f'vocabulary: {text!r} is no list of names that is known; give names ("cat, dog"), '
            f"{choice}"
        )


def _are_in_turn(numbers: Sequence[int]) -> bool:
    return all(after == number + 1 for number, after in pairwise(numbers))


def _parts(text: str) -> list[str]:
    """Pieces between what others put there; full stops, where the last one has one too."""
    stops = r"\.(?:\s+|$)" if text.rstrip().endswith(".") and "," not in text else r"\s\.(?:\s|$)"
    return re.split(rf"{stops}|[{_SEPARATORS}]", text)
