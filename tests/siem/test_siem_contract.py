"""Every adapter of the `Siem` port in every situation of the contract."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

from tests.needs import needs_elasticsearch
from tests.siem.contract_siem import SITUATIONS, Bench, Situation, check
from tests.siem.elastic_bench import elastic_bench
from tests.siem.siem_builders import bench


class MakeBench(Protocol):
    def __call__(self, path: Path, /) -> AbstractContextManager[Bench]: ...


IMPLEMENTATIONS: dict[str, MakeBench] = {"embedded": bench, "elasticsearch": elastic_bench}


@pytest.mark.parametrize("implementation", ["embedded", pytest.param("elasticsearch", marks=needs_elasticsearch)])
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_situation(situation: Situation, implementation: str, tmp_path: Path) -> None:
    with IMPLEMENTATIONS[implementation](tmp_path / "siem.sqlite") as made:
        check(situation, made)
