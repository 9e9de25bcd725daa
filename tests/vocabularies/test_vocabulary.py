"""Names as people give them, and the lists that come with the package."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.vocabularies import vocabulary as module
from unidet.vocabularies.vocabulary import SHIPPED, Entry, Known, Vocabulary, shipped


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("coco", 80, "person", "toothbrush"),
        ("lvis_v1", 1203, "aerosol_can", "zucchini"),
        ("objects365", 365, "Person", "Table Tennis"),
        ("openimages", 500, "Infant bed", "Toilet"),
    ],
)
def test_the_shipped_lists(name: str, count: int, first: str, last: str) -> None:
    names = Vocabulary.parse(name).names
    assert (len(names), names[0], names[-1]) == (count, first, last)
    assert module.shipped_of_size(count) == shipped(name)
    assert module.names_by_number(count) == shipped(name).names


def test_outputs_by_category_id_are_named_as_coco_s() -> None:
    outputs = module.names_by_number(91)
    shown = (outputs[0], outputs[1], outputs[12], outputs[90])
    assert shown == (None, "person", None, "toothbrush")
    assert module.names_by_number(7) == ()


def test_the_shipped_lists_are_the_official_ones(reference: Path) -> None:
    folder = reference / "bench"
    coco = json.loads((folder / "coco/annotations/instances_val2017.json").read_text())
    assert list(shipped("coco").names) == [entry["name"] for entry in coco["categories"]]
    lvis = json.loads((folder / "vocabulary/lvis_v1_categories.json").read_text())
    assert [entry.words for entry in shipped("lvis_v1").entries] == [
        tuple(dict.fromkeys([entry["name"], *entry["synonyms"]])) for entry in lvis
    ]
    with (folder / "vocabulary/objects365_v2_names_fix.csv").open() as file:
        rows = list(csv.reader(file))
    assert [entry.words for entry in shipped("objects365").entries] == [
        tuple(dict.fromkeys([fixed, own])) for _, own, fixed in rows
    ]
    images = json.loads((folder / "vocabulary/openimages_500_categories.json").read_text())
    ours = dict(enumerate(shipped("openimages").names))
    assert {n: entry["name"] for n, entry in enumerate(images) if entry["name"] != ours[n]} == {
        14: "Bench",
        449: "Mouse",
    }


def test_every_shipped_list_says_where_it_is_from() -> None:
    for name in SHIPPED:
        head = (Path(module.__file__).parent / f"{name}.txt").read_text().splitlines()[:3]
        assert "Creative Commons" in "".join(line for line in head if line.startswith("#"))


def test_names_with_commas_between() -> None:
    assert Vocabulary.parse(" cat,traffic light ").names == ("cat", "traffic light")
    assert Vocabulary.of(["a, b", " c\n"]).names == ("a, b", "c")
    assert Vocabulary.of(name for name in ["a", "b"]).names == ("a", "b")


@pytest.mark.parametrize("names", [[1, 2], [None], {0: "cat"}, b"cat", 5, [["cat"]]])
def test_names_are_texts(names: Any) -> None:
    with pytest.raises(UserError, match=r"^names: .* must be a list of texts, or text like"):
        Vocabulary.of(names)


def test_a_file_with_synonyms(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_bytes("\ufeff# mine\r\nsofa\tcouch\tsettee\r\n\r\ncat\r\n".encode())
    assert Vocabulary.parse(str(file)).entries == (
        Entry("sofa", ("couch", "settee")),
        Entry("cat"),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "vocabulary, name 1: is empty"),
        ("cat,,dog", "vocabulary, name 2: is empty"),
        ("cat, dog, cat", "vocabulary, name 3: 'cat' is there already"),
        ("Traffic_Light, car, traffic light", "name 3: 'traffic light' is there already as 'Tra"),
        ("b\udcc3\udca4r", r"name 1: 'b\\udcc3\\udca4r' is not text in UTF-8, or .*PYTHONUTF8=1"),
        ("cat\x07", r"vocabulary, name 1: 'cat\\x07' holds control characters"),
        ("names.txt", r"there is no file names\.txt; give names"),
        ("folder/names", "there is no file folder/names"),
        ("data.yaml", r"there is no file data\.yaml; give names"),
        ("COCO", "'COCO' is no list of names that is known; .* or one of coco, lvis_v1"),
        ("lvis", "'lvis' is no list of names"),
        ("coco80", "'coco80' is no list of names"),
        ("imagenet", "'imagenet' is no list of names"),
    ],
)
def test_names_that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        Vocabulary.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"# nothing\n", ": names no category"),
        (b"cat\n\tkitten\n", ", line 2: is empty"),
        (b"cat\t\n", ", line 1: is empty"),
        (b"cat\n\ncat\n", ", line 3: 'cat' is there already"),
        (b"c\x0bat\n", ", line 1: .* control characters"),
        (b"\xff\xfe\n", ": is not text in UTF-8 but in UTF-16; save it as UTF-8"),
        ("café\n".encode("latin-1"), ": is not text in UTF-8; save it as UTF-8$"),
        # lists as other programs write them: each line would be a category
        (b'["cat", "dog"]', ": is JSON, begins with "),
        (b'{"0": "cat",\n "1": "dog"}', ": is JSON, begins with "),
        (b"names:\n  0: cat\n  1: dog\n", ": is YAML, begins with 'names:'; write one name a line"),
        (b"nc: 2\nnames: [cat, dog]\n", ": is YAML, begins with 'nc: 2'"),
        (b"# of YOLO\n- cat\n- dog\n", ": is YAML, begins with '- cat'"),
        (b"item {\n  name: 'cat'\n}\n", ": is a label map"),
        (b"<annotation>", ": is XML or HTML"),
        (b"id,name\n1,cat\n", r": has commas in every line \('id,name'\)"),
        (b"cat, dog\n", ": has commas in every line"),
        (b"0 cat\n1 dog\n", r": numbers its lines \('0 cat'\)"),
        (b"1: cat\n2: dog\n", ": numbers its lines"),
        (b"cat . dog .\n", ": has several names in one line"),
    ],
)
def test_files_that_hold_no_names(content: bytes, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_bytes(content)
    with pytest.raises(UserError, match=str(file) + complaint):
        Vocabulary.read(file)


def test_numbers_and_commas_may_stand_in_names(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    for lines in (["3 d printer", "1 euro coin"], ["0", "1", "2"], ["salt, coarse", "coconut"]):
        file.write_text("\n".join(lines))
        assert list(Vocabulary.read(file).names) == lines


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: cannot be read \(No such file"):
        Vocabulary.read(tmp_path / "nowhere")


def test_examples_take_the_place_of_words_or_come_last() -> None:
    examples = np.array([[3.0, 0.0], [0.0, 5.0]])  # each counts the same, whatever its length
    vocabulary = Vocabulary.of(["cat", "dog"]).with_example("cat", examples)
    vocabulary = vocabulary.with_example("cow", examples[:1])
    assert vocabulary.names == ("cat", "dog", "cow")
    cat, dog, cow = (entry.embedding for entry in vocabulary.entries)
    np.testing.assert_allclose(cat, [0.5**0.5, 0.5**0.5], rtol=1e-6)
    assert vocabulary.with_example("CAT", examples).names == ("CAT", "dog", "cow")
    assert dog is None
    assert cow is not None
    assert cow.tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(0, 2), (2,)])
def test_no_example_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="example 'cat': embeddings have shape"):
        Vocabulary(()).with_example("cat", np.zeros(shape))


def test_known_names_are_found_by_any_of_their_words() -> None:
    known = Known(["Traffic_Light", "sofa", "SOFA"])
    assert known.place(Entry("traffic light")) == 0
    assert [known.place(Entry(name)) for name in ("SOFA", "sofa", "Sofa")] == [2, 1, 1]
    assert known.place(Entry("couch", ("settee", "sofa"))) == 1
    assert known.place(Entry("cat")) is None
    complaint = str(known.refuse(Entry("soffa"), "give others"))
    assert "'soffa' is none of the 3 names" in complaint
    assert complaint.endswith("did you mean 'sofa'? give others")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("cat . dog .", "cat, dog"),  # GroundingDINO
        ("cat . traffic light", "cat, traffic light"),
        ("cat .", "cat"),
        ("cat. dog.", "cat, dog"),
        ("cat.dog. .", "cat.dog"),
        ("cat\ndog", "cat, dog"),
        ("cat; dog", "cat, dog"),
        ("cat;dog;", "cat, dog"),
        ("cat|dog", "cat, dog"),
        ("猫，狗", "猫, 狗"),
        ("猫、犬。", "猫, 犬"),
        ("猫；狗", "猫, 狗"),
        ("قط، كلب", "قط, كلب"),
        ("['cat', 'dog']", "cat, dog"),  # as a list is written in Python, JSON, YAML
        ("[cat,dog]", "cat, dog"),
        ("'cat','traffic light'", "cat, traffic light"),
        ('"cat"', "cat"),
    ],
)
def test_names_that_are_parted_otherwise_are_not_one_name(text: str, meant: str) -> None:
    with pytest.raises(UserError, match=f'separate names by commas: "{meant}"'):
        Vocabulary.parse(text)


@pytest.mark.parametrize(
    "text", ["no. 7, St. Bernard", "1.5 l bottle", "U.S. flag", "'n' sync, dog's bowl"]
)
def test_points_in_names_are_theirs(text: str) -> None:
    assert Vocabulary.parse(text).names == tuple(text.split(", "))
