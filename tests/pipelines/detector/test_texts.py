"""Embeddings of names: ready ones first, then the encoder, each word once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from unidet.config.compose import compose
from unidet.errors import UserError
from unidet.pipelines.detector import from_study
from unidet.pipelines.detector.lineages import Lineage
from unidet.pipelines.detector.texts import Encode, Ready, Texts, of_size, read_ready, together
from unidet.pipelines.wiring import text_encoder
from unidet.pipelines.wiring.learned_names import LEARNED
from unidet.vocabularies.vocabulary import Entry, Vocabulary, shipped

READY = Ready(np.array([[2.0, 0.0], [0.0, 3.0]]), ["cat", "Traffic_Light"])


@pytest.fixture
def asked() -> list[list[str]]:
    """The words of every call of the encoder."""
    return []


@pytest.fixture
def encoder(asked: list[list[str]]) -> Callable[[], Encode]:
    """Embeds a word as (its length, 1)."""

    def encode(names: Sequence[str]) -> np.ndarray:
        asked.append(list(names))
        return np.array([[len(name), 1.0] for name in names])

    return lambda: encode


def test_ready_names_need_no_encoder() -> None:
    vectors = Texts(READY, None).embed(Vocabulary.of(["traffic light", "CAT"]))
    assert vectors.tolist() == [[0, 1], [1, 0]]
    assert vectors.dtype == np.float32
    assert Texts(READY, None).names == ("cat", "Traffic_Light")


def test_a_name_without_an_embedding_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"'dog' is none of the 2 names.*a text encoder \(OpenAI's CLIP\) takes any"
    ):
        Texts(READY, None).embed(Vocabulary.of(["cat", "dog"]))
    with pytest.raises(UserError, match="'dog' has no embedding"):
        Texts(None, None).embed(Vocabulary.of(["dog"]))


@pytest.mark.parametrize("names", [["cat", "dog"], None])
def test_a_zero_embedding_is_called_so(names: list[str] | None) -> None:
    """The name is known, so another spelling is no help; or it is that of the row."""
    ready = Ready(np.array([[1.0, 0.0], [0.0, 0.0]]), names)
    with pytest.raises(UserError, match=r"the ready embedding of 'Dog' is zero, which matches not"):
        Texts(ready, None).embed(Vocabulary.of(["cat", "Dog"]))


def test_the_encoder_embeds_what_is_not_ready_once(
    encoder: Callable[[], Encode], asked: list[list[str]]
) -> None:
    texts = Texts(READY, encoder)
    vectors = texts.embed(Vocabulary.of(["cat", "dog", "goat"]))
    np.testing.assert_allclose(vectors[1], np.array([3, 1]) / 10**0.5, rtol=1e-6)
    texts.embed(Vocabulary.of(["goat", "dog", "cow"]))
    assert asked == [["dog", "goat"], ["cow"]]


def test_synonyms_count_as_much_as_the_name(encoder: Callable[[], Encode]) -> None:
    (vector,) = Texts(None, encoder).embed(Vocabulary((Entry("a", ("bbb",)),)))
    mean = np.array([1, 1]) / 2**0.5 + np.array([3, 1]) / 10**0.5
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=1e-6)


def test_words_and_examples_mix(encoder: Callable[[], Encode], asked: list[list[str]]) -> None:
    vocabulary = Vocabulary.of(["cat", "dog"]).with_example("cat", np.array([[0.0, 7.0]]))
    vectors = Texts(READY, encoder).embed(vocabulary)
    assert vectors[0].tolist() == [0, 1]
    assert asked == [["dog"]]
    other = Vocabulary.of(["cat", "dog"]).with_example("cat", np.ones((1, 3)))
    with pytest.raises(UserError, match="embeddings of different lengths"):
        Texts(READY, encoder).embed(other)


def test_rows_without_names_are_those_of_as_many_names() -> None:
    texts = Texts(Ready(np.eye(3), None), None)
    assert texts.names is None
    np.testing.assert_array_equal(texts.embed(Vocabulary.of(["a", "b", "c"])), np.eye(3))
    with pytest.raises(UserError, match="the embeddings are of 3 names that are not known"):
        texts.embed(Vocabulary.of(["a", "b"]))


def test_rows_that_are_as_many_as_a_shipped_list_have_its_names(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(80, dtype=np.float16))
    ready = read_ready(tmp_path / "x.npy")
    assert ready.known is not None
    assert ready.known.names == shipped("coco").names
    assert of_size(np.eye(79)).known is None


def test_a_file_with_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", embeddings=np.eye(2), names=np.array(["a", "b"]))
    ready = read_ready(tmp_path / "x.npz")
    assert ready.known is not None
    assert ready.known.names == ("a", "b")


def test_several_vocabularies_are_one_without_what_is_empty() -> None:
    other = Ready(np.array([[5.0, 5.0], [0.0, 0.0], [1.0, 0.0]]), ["Cat", "gap", "cow"])
    ready = together([READY, other])
    assert ready is not None
    assert ready.known is not None
    assert ready.known.names == ("cat", "Traffic_Light", "cow")
    assert ready.vectors.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert together([]) is None


def test_an_encoder_is_opened_by_a_jittor_that_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search asks for one where no network has been opened, beside names learned before."""
    steps: list[str] = []

    def opened(clip: Path, config: object) -> SimpleNamespace:
        steps.append("open")
        return SimpleNamespace(embed=lambda names, prompts: np.ones((len(names), 2)))

    monkeypatch.setattr(from_study, "bring_up_jittor", lambda config: steps.append("bring up"))
    monkeypatch.setattr(text_encoder, "open_text_encoder", opened)
    np.savez(tmp_path / LEARNED, embeddings=np.eye(2, dtype=np.float32), names=["cat", "dog"])
    lineage = SimpleNamespace(
        head="",
        store=SimpleNamespace(intact_folder=lambda action: tmp_path),
        of=lambda stage: {},
        intact_folder=lambda stage: tmp_path,
    )
    texts = from_study.texts_of(cast(Lineage, lineage), compose(["experiment=toy"]))
    texts.embed(Vocabulary.of(["cat"]))
    assert steps == []
    texts.embed(Vocabulary.of(["goat"]))
    assert steps == ["bring up", "open"]
