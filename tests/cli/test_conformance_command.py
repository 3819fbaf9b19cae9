"""`harness lab conformance` from outside: exit codes, what is written, and what is told of a file that is none."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import harness


def own(tmp_path: Path, form: str) -> Path:
    written = tmp_path / f"own.{form}"
    assert harness("lab", "conformance", "--write", str(written), "--format", form, cwd=tmp_path).code == 0
    return written


def test_the_labs_events_are_written_and_read_back_without_a_difference(tmp_path: Path) -> None:
    found = harness("lab", "conformance", str(own(tmp_path, "xml")), "--json", str(tmp_path / "found.json"), cwd=tmp_path)
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[-1].endswith("kinds compared: no difference")
    document = json.loads((tmp_path / "found.json").read_text())
    assert (document["conforms"], document["differences"], document["broken"]) == (True, [], 0)


def test_a_difference_without_a_reason_is_exit_code_1(tmp_path: Path) -> None:
    written = own(tmp_path, "nxlog")
    written.write_text(written.read_text().replace('"Status": "0x0"', '"Status": "success"') + "\nno event\n")
    found = harness("lab", "conformance", str(written), cwd=tmp_path)
    assert found.code == 1
    assert "Not read: 1 place" in found.out
    assert "NO REASON: security 4689 status, form" in found.out.splitlines()[-3]
    assert "1 without a reason" in found.out.splitlines()[-1]


def test_strict_stops_where_a_line_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}\n")
    found = harness("lab", "conformance", "--strict", str(tmp_path / "bad.json"), cwd=tmp_path)
    assert found.code == 2
    assert "bad.json:1" in found.err


def test_without_anything_to_compare_with_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("")
    for asked in ([], [str(tmp_path / "empty.json")], [str(tmp_path / "absent.json")]):
        found = harness("lab", "conformance", *asked, cwd=tmp_path)
        assert found.code == 2
        assert "Traceback" not in found.err
