"""The tokenizer against recordings of CLIP's own, and the small trainer by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.models.clip.tokenizer import Tokenizer, learn_merges, read_merges, write_merges

HERE = Path(__file__).parent
START, END = 49406, 49407


@pytest.fixture(scope="module")
def clip(reference: Path) -> Tokenizer:
    return Tokenizer(read_merges(reference / "bench/vocabulary/bpe_simple_vocab_16e6.txt.gz"))


def test_a_well_known_row(clip: Tokenizer) -> None:
    rows = clip(["a photo of a cat", ""])
    assert clip.vocabulary_size == 49408
    assert rows.shape == (2, 77)
    assert rows.dtype == np.int32
    assert rows[0].tolist() == [START, 320, 1125, 539, 320, 2368, END] + [0] * 70
    assert rows[1].tolist() == [START, END] + [0] * 75


def test_recorded_examples(clip: Tokenizer) -> None:
    for text, tokens in json.loads((HERE / "tokens.json").read_text())["examples"]:
        assert clip.encode(text) == tokens, text


def test_ten_thousand_strings(
    clip: Tokenizer, reference: Path, load_file: Callable[[Path], ModuleType]
) -> None:
    record = load_file(HERE / "record_tokens.py")
    categories = json.loads((reference / "bench/vocabulary/lvis_v1_categories.json").read_text())
    texts = record.strings([category["name"] for category in categories])
    assert len(texts) == 10_000
    recorded = json.loads((HERE / "tokens.json").read_text())["digest"]
    assert record.digest(clip.encode(text) for text in texts) == recorded


def test_merges_are_learned_from_counts() -> None:
    # low x 2, lower x 2, lot x 1: "l o" is seen 5 times; then "lo w" twice and "lo w</w>" twice
    # tie with "w e" and "e r</w>", and the pair that sorts first wins: "e r</w>".
    captions = ["low low lower", "LOWER lot"]
    assert learn_merges(captions, 3) == [("l", "o"), ("e", "r</w>"), ("lo", "w")]
    everything = learn_merges(captions, 99)
    assert everything == [
        ("l", "o"),
        ("e", "r</w>"),
        ("lo", "w"),
        ("lo", "w</w>"),
        ("low", "er</w>"),
    ]


def test_learned_merges_make_tokens() -> None:
    tokenizer = Tokenizer([("l", "o"), ("lo", "w</w>")], context_length=6)
    byte = {letter: ord(letter) - ord("!") for letter in "lotw"}
    assert tokenizer.vocabulary_size == 512 + 2 + 2
    assert tokenizer.encode("low") == [513]
    assert tokenizer.encode("lot") == [512, 256 + byte["t"]]
    assert tokenizer.encode("ww") == [byte["w"], 256 + byte["w"]]
    assert tokenizer(["low lot"]).tolist() == [[514, 513, 512, 256 + byte["t"], 515, 0]]


def test_too_long_a_text() -> None:
    tokenizer = Tokenizer([], context_length=4)
    with pytest.raises(UserError, match=r"'abc' has 5 tokens .* at most 4 fit"):
        tokenizer(["ab", "abc"])
    (row,) = tokenizer(["abc"], truncate=True)
    assert row.tolist() == [512, ord("a") - ord("!"), ord("b") - ord("!"), 513]
    assert tokenizer(["ab"])[0, -1] == 513


def test_merges_files(tmp_path: Path) -> None:
    merges = [("l", "o"), ("lo", "w</w>"), ("Â", "°")]
    write_merges(tmp_path / "merges.txt", merges)
    assert read_merges(tmp_path / "merges.txt") == merges
    packed = tmp_path / "merges.txt.gz"
    packed.write_bytes(gzip.compress((tmp_path / "merges.txt").read_bytes()))
    assert read_merges(packed) == merges


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"#version\nl o\nlow\n", "line 3 is not two symbols"),
        ("a.txt", b"#version\n\xff\xfe\n", "not a readable BPE merges file"),
        ("a.txt.gz", b"#version\nl o\n", "not a readable BPE merges file"),
        (
            "a.txt.gz",
            gzip.compress(b"#version\nl o\n" * 99, mtime=0)[:-12],
            "not a readable BPE merges file",
        ),
        (
            "a.txt.gz",
            gzip.compress(b"#v", mtime=0)[:10] + b"\xff" * 9,
            "not a readable BPE merges file",
        ),
    ],
)
def test_damaged_merges_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_merges(tmp_path / name)


def test_missing_merges_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a readable BPE merges file"):
        read_merges(tmp_path / "none.txt")
