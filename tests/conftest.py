"""Fixtures and hooks of all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from harness.spark import spark_session
from tests.needs import need

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(name): what the test needs besides the project; see tests/needs.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        need(marker.args[0])


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark takes seconds to start: all tests of it ask one."""
    need("spark")
    with spark_session() as session:
        yield session
