"""Records what CLIP's own tokenizer answers, for test_tokenizer.py; run by hand.

    python tests/models/clip/record_tokens.py SIMPLE_TOKENIZER_PY BPE_TXT_GZ LVIS_CATEGORIES_JSON

SIMPLE_TOKENIZER_PY: clip/simple_tokenizer.py of openai/CLIP (MIT). Needs ftfy and regex.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path

FIXTURE = Path(__file__).parent / "tokens.json"

EXAMPLES = [
    "",
    "   ",
    "a photo of a cat",
    "A  Photo\tof\na CAT.",
    "alarm_clock",
    "aerosol_can",
    "bow_(decorative_ribbons)",
    "saltshaker / pepper-shaker",
    "it's John's, they'll've DON'T",
    "1234567890 3.14",
    "café crème brûlée",
    "cafÃ© l\u2019Ã©tÃ©",  # UTF-8 read as Latin-1
    "&lt;b&gt; &amp;amp; &eacute;",
    "猫の写真",
    "사진 고양이",
    "кошка",
    "قطة",
    "🐈 👨\u200d👩\u200d👧 🏳️\u200d🌈",
    "ﬁancé ＦＵＬＬ width",
    "İstanbul ſ K",
    "zero\u200bwidth soft\u00adhyphen nb\u00a0space line\u2028break \u0085next",
    "<|startoftext|> hi <|ENDOFTEXT|>",
    "!!!???...",
    "antidisestablishmentarianism",
    "x" * 40,
]

_RANGES = [range(32, 127)] * 8 + [
    range(0xA0, 0x180),
    range(0x391, 0x3C9),
    range(0x410, 0x450),
    range(0x4E00, 0x4F00),
    range(0x1F400, 0x1F4FF),
    range(0x300, 0x330),
]


def strings(names: list[str]) -> list[str]:
    """10,000 texts: names, names in a prompt, and random ones, some damaged or escaped."""
    texts = [*names, *(f"a photo of a {name}." for name in names)]
    stream = random.Random(0)
    while len(texts) < 10_000:
        length = int(stream.random() * 30)
        text = "".join(_character(stream) for _ in range(length))
        kind = int(stream.random() * 10)
        if kind == 0:
            text = names[int(stream.random() * len(names))] + text
        elif kind == 1:
            text = text.encode("utf-8").decode("latin-1")
        elif kind == 2:
            text = f"&amp;lt;{text}'S &amp; DON'T"
        texts.append(text)
    return texts


def _character(stream: random.Random) -> str:
    characters = _RANGES[int(stream.random() * len(_RANGES))]
    return chr(characters[int(stream.random() * len(characters))])


def digest(rows: Iterable[list[int]]) -> str:
    lines = "\n".join(" ".join(map(str, row)) for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def main(tokenizer_file: str, merges_file: str, categories_file: str) -> None:
    spec = importlib.util.spec_from_file_location("simple_tokenizer", tokenizer_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tokenizer = module.SimpleTokenizer(merges_file)
    names = [category["name"] for category in json.loads(Path(categories_file).read_text())]
    recorded = {
        "examples": [[text, tokenizer.encode(text)] for text in EXAMPLES],
        "digest": digest(tokenizer.encode(text) for text in strings(names)),
    }
    FIXTURE.write_text(json.dumps(recorded, indent=0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
