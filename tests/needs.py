"""What some tests need besides the project, and what becomes of them where it is absent.

They skip, saying why; where `HARNESS_REQUIRE` (a comma between names) asks for it, as CI does, its absence is a failure instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness import spark

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def _no_recordings() -> str:
    return "" if DATA.is_dir() else f"the shared recordings and rules are not at {DATA}"


_ABSENT: Mapping[str, Callable[[], str]] = {"recordings": _no_recordings, "spark": spark.absent}


def need(name: str) -> None:
    """Skip or fail the test where this is absent."""
    why = _ABSENT[name]()
    if why and name in os.environ.get("HARNESS_REQUIRE", "").split(","):
        pytest.fail(f"HARNESS_REQUIRE asks for {name}: {why}")
    if why:
        pytest.skip(why)


needs_recordings = pytest.mark.needs("recordings")
needs_spark = pytest.mark.needs("spark")
