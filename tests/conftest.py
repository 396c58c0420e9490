"""Under pytest ``TestCase.mktemp`` makes directories in the current one, which trial sets aside; so do we."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

_BEFORE = os.getcwd()
_ASIDE: list[str] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """All tests are found: go to a temporary directory."""
    _ASIDE.append(tempfile.mkdtemp(prefix="replicad-tests-"))
    os.chdir(_ASIDE[0])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Come back and remove it."""
    os.chdir(_BEFORE)
    for path in _ASIDE:
        shutil.rmtree(path, ignore_errors=True)
