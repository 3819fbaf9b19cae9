"""Fixtures and hooks of all tests."""

from __future__ import annotations

import pytest

from tests.needs import need


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(name): what the test needs besides the project; see tests/needs.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        need(marker.args[0])
