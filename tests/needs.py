"""What some tests need besides the project, and what becomes of them where it is absent.

They skip, saying why; where `HARNESS_REQUIRE` (a comma between names) asks for it, as CI does, its absence is a failure instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness import spark
from lab.winrm.auth import no_kerberos
from servers import elastalert2, elasticsearch, kdc

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def _no_recordings() -> str:
    return "" if DATA.is_dir() else f"the shared recordings and rules are not at {DATA}"


def _no_elasticsearch() -> str:
    if sys.platform != "linux":
        return "its script is for Linux"
    return "" if elasticsearch.find() is not None else "no Elasticsearch runs: python3 -m servers.elasticsearch start"


def _no_elastalert2() -> str:
    if sys.platform != "linux":
        return "its script is for Linux"
    return "" if elastalert2.installed() else "ElastAlert2 is not installed: python3 -m servers.elastalert2 install"


def chromium() -> str | None:
    """Where a Chromium is that a page can be opened in."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _no_chromium() -> str:
    return "" if chromium() is not None else "there is no Chromium: apt-get install chromium"


def _no_kerberos() -> str:
    if sys.platform != "linux":
        return "its script is for Linux"
    return kdc.absent() or no_kerberos()


_ABSENT: Mapping[str, Callable[[], str]] = {
    "recordings": _no_recordings,
    "spark": spark.absent,
    "elasticsearch": _no_elasticsearch,
    "elastalert2": _no_elastalert2,
    "chromium": _no_chromium,
    "kerberos": _no_kerberos,
}


def need(name: str) -> None:
    """Skip or fail the test where this is absent."""
    why = _ABSENT[name]()
    if why and name in os.environ.get("HARNESS_REQUIRE", "").split(","):
        pytest.fail(f"HARNESS_REQUIRE asks for {name}: {why}")
    if why:
        pytest.skip(why)


needs_recordings = pytest.mark.needs("recordings")
needs_spark = pytest.mark.needs("spark")
needs_elasticsearch = pytest.mark.needs("elasticsearch")
needs_elastalert2 = pytest.mark.needs("elastalert2")
needs_chromium = pytest.mark.needs("chromium")
needs_kerberos = pytest.mark.needs("kerberos")
