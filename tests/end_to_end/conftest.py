"""Fixtures for tests with real processes.

Rules: ports are the system's or private; each wait has a condition and a deadline; nothing is left running.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import database_url, empty_database_url, kind, postgres, sqlite_template
from tests.end_to_end.recorder import Recorder

__all__ = ["database_url", "empty_database_url", "kind", "postgres", "recorder", "sqlite_template"]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path) as recorder:
        yield recorder
