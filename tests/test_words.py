"""Words that were dropped stand in no identifier and no message of the package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs/words.md"
HISTORY = REPOSITORY / "rsc/store/schema/migrations"
# Names of other libraries that hold a dropped word.
FOREIGN = re.compile(r"\b(get_)?execution_options\b|requiredDuringScheduling\w*|\w*DuringExecution")


def dropped():
    """Return each dropped word with the paths where it may stay, from the page."""
    table = PAGE.read_text().split("## Words that were dropped")[1]
    rows = re.findall(r"^\| ([a-z ]+) \| [a-z ,]+ \| ?(.*?) ?\|$", table, re.MULTILINE)
    return {
        word: tuple(filter(None, places.split(", "))) for word, places in rows if word != "dropped"
    }


def words_of(tree):
    """Return every identifier and every string that is no docstring, with its line."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field in ("id", "attr", "arg", "name"):
            if isinstance(value := getattr(node, field, None), str):
                yield line, value
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield line, node.value


def uses(word, text):
    """Return whether a text has the word, also as a part of a name, also in the plural."""
    plain = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", FOREIGN.sub("", text)).lower()
    return re.search(rf"(?<![a-z]){word}s?(?![a-z])", plain) is not None


def sources():
    for path in sorted((REPOSITORY / "rsc").rglob("*.py")):
        if HISTORY not in path.parents:
            yield path.relative_to(REPOSITORY).as_posix(), path


@pytest.mark.parametrize("word", dropped())
def test_a_dropped_word_is_used_nowhere(word):
    places = dropped()[word]
    found = [
        f"{name}:{line} {text[:60]}"
        for name, path in sources()
        if not name.startswith(places or ("-",))
        for line, text in words_of(ast.parse(path.read_text()))
        if uses(word, text)
    ]
    assert found == []


def test_the_page_names_words():
    assert {"phase", "execution", "stamp"} <= set(dropped())


@pytest.mark.parametrize("text", ["phase", "the phases of", "PhaseOf", "run_phase", "PHASE_SHIFT"])
def test_a_dropped_word_would_be_found(text):
    assert uses("phase", text)


@pytest.mark.parametrize("text", ["timestamp", "execution_options(x)", "Sealed", "phased"])
def test_a_longer_word_is_another_word(text):
    assert not any(uses(word, text) for word in ("stamp", "execution", "seal", "phase"))
