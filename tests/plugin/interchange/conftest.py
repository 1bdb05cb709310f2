"""Where the public data sets lie, for the tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``PICKTUNE_SHARED_DATA``, or ``../shared/data`` beside the repository."""
    named = os.environ.get("PICKTUNE_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the public data sets are not at {folder}; name their folder in PICKTUNE_SHARED_DATA")
    return folder
