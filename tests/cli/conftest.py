"""One lab for all tests of a session: it stays up, as it does for people who run several runs against it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.commands import UpLab, harness
from tests.cli.sessions import Suite, made


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpLab]:
    directory = tmp_path_factory.mktemp("lab")
    made = UpLab(directory=directory, state=directory / "lab.json")
    up = harness("lab", "up", cwd=directory, env=made.env)
    assert up.code == 0, up.said
    yield made
    down = harness("lab", "down", cwd=directory, env=made.env)
    assert down.code == 0, down.said


@pytest.fixture
def suite(pytester: pytest.Pytester, lab: UpLab, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A directory for tests of its own, on that lab."""
    return made(pytester, lab, monkeypatch)
