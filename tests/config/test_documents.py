from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsc.config.yaml_io import describe, line_of, parse_value, read_document, write_document
from rsc.errors import UserError


@pytest.fixture
def read(tmp_path):
    def read_text(content: str | bytes):
        path = tmp_path / "run.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_document(path)[0]

    return read_text


def refusal(read, content) -> UserError:
    with pytest.raises(UserError) as caught:
        read(content)
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 0.0003),
        ("1e6", 1_000_000),
        ("1_000_000", 1_000_000),
        ("-7", -7),
        ("010", 10),
        ("1.5", 1.5),
        ("1.0", 1.0),
        (".5", 0.5),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("2020-01-31", "2020-01-31"),
        ("12:30", "12:30"),
        ("1_2", "1_2"),
        ("0x10", "0x10"),
        ("[1, a, 2.5]", [1, "a", 2.5]),
        ("{kind: rsi, period: 10}", {"kind": "rsi", "period": 10}),
        ("'3'", "3"),
    ],
)
def test_values_are_what_they_look_like(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_duplicate_key_names_file_line_and_key(read, tmp_path):
    error = refusal(read, "name: a\ntraining:\n  lr: 1\n  gamma: 1\n  lr: 2\n")
    path = tmp_path / "run.yaml"
    assert error.message == f"{path}: line 5: key 'lr' was given twice, must be given once"


def test_the_same_key_in_two_places_is_no_duplicate(read):
    assert read("a: {x: 1}\nb: {x: 2}\n") == {"a": {"x": 1}, "b": {"x": 2}}


def test_merged_keys_may_be_overridden(read):
    tree = read("base: &base {x: 1, y: 2}\nother:\n  <<: *base\n  y: 3\n")
    assert tree["other"] == {"x": 1, "y": 3}


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n", "---\n"])
def test_empty_file_is_refused(read, content):
    assert "was empty, must hold the keys of a run" in refusal(read, content).message


@pytest.mark.parametrize("content", [b"\x00\x01PNG", b"\xff\xfe\x00a", b"name: \xe9\n"])
def test_binary_file_is_refused(read, content):
    message = refusal(read, content).message
    assert "must be YAML text" in message


def test_a_byte_order_mark_is_no_content(read):
    assert read(b"\xef\xbb\xbfname: x\n") == {"name": "x"}


def test_broken_yaml_names_the_line(read):
    assert "line 2: was not YAML" in refusal(read, "name: a\n b: [1\n").message


@pytest.mark.parametrize("content", ["- a\n- b\n", "just text\n", "3\n"])
def test_a_file_without_keys_is_refused(read, content):
    assert "must be keys and values" in refusal(read, content).message


def test_two_documents_in_one_file_are_refused(read):
    assert "was not YAML" in refusal(read, "a: 1\n---\nb: 2\n").message


def test_python_objects_are_refused(read):
    assert "was not YAML" in refusal(read, "a: !!python/object/apply:os.getcwd []\n").message


def test_a_control_character_is_named_with_its_line(read):
    message = refusal(read, "name: a\nseed: \x1b[0m3\n").message
    assert message.endswith("run.yaml: line 2: was not YAML (character U+001B is not allowed)")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("!!bool foo", "'foo' cannot be read as bool"),
        ("!!timestamp foo", "'foo' cannot be read as timestamp"),
        ("!!timestamp 2020-99-99", "'2020-99-99' cannot be read as timestamp"),
        ("!!int foo", "'foo' cannot be read as int"),
        ("!!float ''", "'' cannot be read as float"),
        pytest.param("9" * 5000, f"'{'9' * 58}… cannot be read as int", id="5000 digits"),
        ("\x07", "character U+0007 is not allowed"),
    ],
)
def test_text_that_is_not_what_its_tag_says_is_refused(read, value, sentence):
    message = refusal(read, f"seed: 1\nname: {value}\n").message
    assert message.endswith(f"run.yaml: line 2: was not YAML ({sentence})")
    with pytest.raises(ValueError, match=re.escape(f"not YAML: {sentence}")):
        parse_value(f"[1, {value}]")


def test_a_duplicate_key_in_a_value_is_named():
    with pytest.raises(ValueError, match="key 'a' was given twice"):
        parse_value("{b: {a: 1, a: 2}}")


def test_missing_file_is_named_with_a_near_one(tmp_path):
    (tmp_path / "first-run.yaml").write_text("name: x\n")
    with pytest.raises(UserError) as caught:
        read_document(tmp_path / "first-rum.yaml")
    assert caught.value.message.endswith("first-rum.yaml: was not found, must be a YAML file")
    assert "first-run.yaml" in caught.value.hint


def test_directory_is_refused(tmp_path):
    with pytest.raises(UserError, match="was a directory, must be a YAML file"):
        read_document(tmp_path)


def test_huge_file_is_refused_unread(read):
    assert "must be a YAML file of at most 1_000_000" in refusal(read, b"a" * 1_000_001).message


def test_line_of_finds_keys_and_entries(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("a: 1\nb:\n  - x: 1\n  - x: 2\n    y: 3\n")
    node = read_document(path)[1]
    assert line_of(node, ("b", 1, "y")) == 5
    assert line_of(node, ("b", 1, "missing")) == 4
    assert line_of(node, ("c",)) is None


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    | st.sampled_from(
        ["no", "1e5", "3e-4", "0x1", "2020-01-01", "<<", "null", "~", "1_000", "=", ""]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcno123.-_ ", min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abxyz_019", min_size=1), PLAIN, min_size=1, max_size=4))
def test_what_is_written_reads_back_equal(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("documents") / "run.yaml"
    path.write_text(write_document(tree), encoding="utf-8")
    again, _ = read_document(path)
    assert again == tree


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ({}, "an empty mapping"), ("x", "'x'"), ((1, 2), "[1, 2]")],
)
def test_values_are_described_as_yaml(value, text):
    assert describe(value) == text


def test_long_values_are_shortened():
    assert len(describe("x" * 500)) == 60
