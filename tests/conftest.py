"""Fixtures and hooks of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from harness.spark import spark_session
from servers import kdc, machine
from servers.machine import Place
from tests.needs import need

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


pytest_plugins = ["pytester"]

# How long an example takes is the machine's affair; what asserts a time is a benchmark.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(name): what the test needs besides the project; see tests/needs.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        need(marker.args[0])


# Java compiles well what runs long. Tests run once: most of their time would go into that, on the cores that they need themselves.
_SHORT_LIVED = "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' --conf spark.sql.shuffle.partitions=2 pyspark-shell"
os.environ.setdefault("PYSPARK_SUBMIT_ARGS", _SHORT_LIVED)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Spark takes seconds to start: all tests of it ask one."""
    need("spark")
    with spark_session() as session:
        yield session


@pytest.fixture(scope="session")
def _realm() -> Iterator[Place]:
    need("kerberos")
    name = f"tests-{os.getpid()}"
    yield kdc.start(name)
    kdc.stop(name)


@pytest.fixture
def realm(_realm: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A Kerberos realm that this test is in, with a credential cache of its own and no ticket in it."""
    monkeypatch.setenv("KRB5_CONFIG", _realm.files["config"])
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'tickets'}")
    return _realm


@pytest.fixture(scope="session", autouse=True)
def _no_realm_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever realm this machine is in, tests are in none; and nobody looks for one by DNS, which takes seconds each time."""
    own = tmp_path_factory.mktemp("krb5") / "krb5.conf"
    switches = ("dns_lookup_kdc", "dns_lookup_realm", "rdns", "dns_canonicalize_hostname")
    own.write_text("[libdefaults]\n" + "".join(f"    {switch} = false\n" for switch in switches))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRB5_CONFIG", str(own))
        patch.setenv("KRB5CCNAME", f"FILE:{own.with_name('tickets')}")
        yield


@pytest.fixture(scope="session", autouse=True)
def _a_cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests keep no rules in the cache of whoever runs them, and find none of his there; servers are not downloaded again."""
    own, downloads = tmp_path_factory.mktemp("cache"), machine.cache()
    (own / downloads.name).mkdir(mode=0o700)
    for archive in downloads.glob("*.zip"):
        (own / downloads.name / archive.name).symlink_to(archive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(own))
        yield
