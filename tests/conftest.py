"""Shared by all tests: the long tier's switch, the data beside the project, tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run the tests of the long tier")
    parser.addoption("--minutes", type=float, default=1.0, help="long tier: how long each fuzzer looks for findings")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="shared: the evaluation data is not beside the project"))
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: run with --long"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that holds these tests."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Evaluation data and conformance vectors; only for tests marked `shared`."""
    return SHARED
