"""Keys and digests; the literals were made with `printf '%s' '...' | sha256sum`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.store.hashing import (
    canonical_json,
    copy_hashed,
    digest,
    key_of,
    output_digest,
    sha256_file,
)

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_key_of_an_action_never_changes() -> None:
    preimage = {
        "stage_version": 2,
        "stage": "rpn",
        "schema": 1,
        "config": {"steps": (8, 11), "lr": 0.02},
        "inputs": {"data": "d1"},
        "env": {"jittor": "1.3.11"},
        "code": "abc",
    }
    assert key_of(preimage) == "c0010b4f46cce9d2c1e344495fd9a859697796fdaeac2f25158e50b020fc511c"


def test_text_is_utf8_and_numbers_are_shortest() -> None:
    value = {"x": 0.00001, "none": None, "größe": "é", "true": True}
    assert canonical_json(value).decode() == '{"größe":"é","none":null,"true":true,"x":1e-05}'
    assert digest(value) == "4cd5262b54d4fb5471bee1ef4244903b698444d9580c5454691d8067d2cb626c"


def test_an_artefact_is_named_by_its_files_in_order_of_path() -> None:
    files = [("empty", EMPTY, 0), ("a/hello.txt", HELLO, 5)]
    assert (
        output_digest(files) == "6209a67bd0c206f672178e2637af87ce7cac5e4737e8b7216a7bbdfb23f93fea"
    )
    assert output_digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_tuples_and_numpy_scalars_are_what_they_hold() -> None:
    assert canonical_json({"a": (1, np.int64(2), np.float64(0.5), np.bool_(True))}) == (
        b'{"a":[1,2,0.5,true]}'
    )


def test_an_integer_is_not_a_float_nor_a_truth_value() -> None:
    assert len({canonical_json(value) for value in (1, 1.0, True, "1")}) == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan")])
def test_a_key_has_no_nan(bad: float) -> None:
    with pytest.raises(ValueError, match=r"value\.lr\[1\]: (nan|inf) cannot be part of a key"):
        digest({"lr": [0.1, bad]})


@pytest.mark.parametrize("bad", [Path("x"), {1, 2}, np.zeros(2), object(), b"bytes"])
def test_a_key_has_no_value_of_uncertain_text(bad: object) -> None:
    with pytest.raises(TypeError, match=r"value\.a: \w+ cannot be part of a key"):
        digest({"a": bad})


def test_a_key_has_only_string_names() -> None:
    with pytest.raises(TypeError, match=r"value\.steps: the key 8 is not a string"):
        digest({"steps": {8: 0.1}})


def test_files_are_hashed_and_copied_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello")
    (tmp_path / "million").write_bytes(b"a" * 1_000_000 * 3)
    assert sha256_file(tmp_path / "hello") == HELLO
    # head -c 3000000 /dev/zero | tr '\0' a | sha256sum
    three_million_a = "2a152c894398719c0570f83fac34ac03a0f6e8e474b995c2403aa5434f7b9dd4"
    assert sha256_file(tmp_path / "million") == three_million_a
    assert copy_hashed(tmp_path / "million", tmp_path / "copy") == three_million_a
    assert (tmp_path / "copy").read_bytes() == b"a" * 3_000_000
