"""Let the tests of this folder import its helper module by name."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def store(database_url):
    """A store on an empty database, SQLite and Postgres."""
    from rsc.store.runs.writes import open_store

    opened = open_store(database_url)
    yield opened
    opened.close()
