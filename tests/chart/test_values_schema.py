"""The schema of the chart's values is made from values.yaml and its comments."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from chart_tools import REPOSITORY


@pytest.fixture
def make(tmp_path):
    """A function from the text of a values.yaml to what is said, and the schema."""

    def made(values):
        (tmp_path / "values.yaml").write_text(values)
        (tmp_path / "schema-defs.yaml").write_text("cpus: {type: integer, minimum: 1}\n")
        script, target = REPOSITORY / "scripts/values_schema.py", tmp_path / "schema.json"
        command = [sys.executable, str(script), str(tmp_path), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stderr.strip(), json.loads(target.read_text()) if target.exists() else None

    return made


def test_a_value_is_of_the_type_of_its_default_and_within_what_its_comment_says(make):
    _, schema = make("head:\n  # -- How many,\n  # at most.\n  count: 2 # @schema maximum: 5\n")
    assert schema["properties"]["head"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "count": {"type": "integer", "maximum": 5, "description": "How many, at most."}
        },
    }


def test_a_definition_is_named_by_its_name(make):
    _, schema = make("cpus: 2 # @schema $ref: cpus\n")
    assert schema["properties"]["cpus"] == {"$ref": "#/$defs/cpus"}
    assert schema["$defs"]["cpus"] == {"type": "integer", "minimum": 1}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("a: 1\nlabels: {}\n", "values.yaml:2: labels had no @schema, must say what it may hold"),
        ("nothing: null\n", "values.yaml:1: nothing had no @schema, must say what it may hold"),
        ("a: 1 # @schema minumum: 1\n", "@schema of a had minumum, which is unknown"),
    ],
)
def test_a_value_of_which_nothing_would_be_checked_is_refused(make, values, sentence):
    said, schema = make(values)
    assert sentence in said
    assert schema is None
