"""`harness doctor` on the lab: its own SIEM, and targets that cannot be driven."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.cli.commands import UpLab, harness


def test_a_lab_is_well(lab: UpLab, tmp_path: Path) -> None:
    found = harness("doctor", "--lab", "--json", "found.json", cwd=tmp_path, env=lab.env)
    assert found.code == 0, found.said
    said = json.loads((tmp_path / "found.json").read_text())
    assert said["healthy"] is True
    by_name = {finding["about"]: finding for finding in said["findings"]}
    assert {finding["health"] for finding in said["findings"]} == {"ok"}, found.said
    for target in ("lab-ws1", "lab-ws2"):
        assert 0 <= by_name[f"target {target}'s events"]["seconds"] < 30
    lines = found.out.splitlines()
    assert len(lines) == len(said["findings"])
    assert lines[0] == "ok      SIEM: embedded answers"


def test_a_target_is_asked_what_it_logs_of_what_the_rules_need(tmp_path: Path) -> None:
    off = ["lab-ws1/process-creation", "lab-ws1/sysmon", "lab-ws2/filtering-platform-connection", "lab-ws2/module-logging"]
    (tmp_path / "harness.toml").write_text(f"[lab]\noff = {json.dumps(off)}\n")
    found = harness("doctor", "--lab", "--json", "found.json", cwd=tmp_path, env={"HARNESS_LAB_STATE_FILE": str(tmp_path / "lab.json")})
    assert found.code == 1, found.said
    by_name = {finding["about"]: finding for finding in json.loads((tmp_path / "found.json").read_text())["findings"]}
    broken = {name for name, finding in by_name.items() if finding["health"] != "ok"}
    assert broken == {
        "target lab-ws1: Process Creation",
        "target lab-ws1: Sysmon",
        "target lab-ws2: Filtering Platform Connection",
        "target lab-ws2: PowerShell Module Logging",
    }
    creation = by_name["target lab-ws1: Process Creation"]
    assert "5cc2cda8" in creation["what"]
    assert creation["fix"] == 'auditpol /set /subcategory:"{0CCE922B-69AE-11D9-BED3-505054503030}" /success:enable'
    assert "winlogbeat runs" in by_name["target lab-ws1's agent"]["what"]


def test_each_target_is_told_what_is_wrong_with_it(lab: UpLab, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else's either
        taken.bind(("127.0.0.1", 0))
        lab.settings(tmp_path / "harness.toml", ports={"lab-ws2": taken.getsockname()[1]}, passwords={"lab-ws1": "WRONG"})
        found = harness("doctor", cwd=tmp_path, env={"LAB_PASSWORD": lab.password, "WRONG": "not-the-password"})
    assert found.code == 1, found.said
    (first,) = (line for line in found.out.splitlines() if " target lab-ws1: " in line)
    (second,) = (line for line in found.out.splitlines() if " target lab-ws2: " in line)
    assert first.startswith("broken")
    assert "are user, password and auth of this [[target]] right?" in first
    assert "is WinRM running there" in second
    assert "not-the-password" not in found.said


def test_out_of_scope_is_refused_before_anything_is_looked_at(lab: UpLab, tmp_path: Path) -> None:
    lab.settings(tmp_path / "harness.toml")
    settings = (tmp_path / "harness.toml").read_text().replace('hosts = ["127.0.0.1"]', 'hosts = ["192.0.2.1"]')
    (tmp_path / "harness.toml").write_text(settings)
    before = lab.counted("connections")
    found = harness("doctor", cwd=tmp_path, env={"LAB_PASSWORD": lab.password})
    assert found.code == 4, found.said
    assert lab.counted("connections") == before


def test_a_siem_that_is_dead_is_told(lab: UpLab, tmp_path: Path) -> None:
    arguments = ("--siem", "elasticsearch", "--es-url", "http://127.0.0.1:9", "--json", "-")
    found = harness("doctor", "--lab", "--target", "lab-ws1", *arguments, cwd=tmp_path, env=lab.env)
    assert found.code == 1
    by_name = {finding["about"]: finding for finding in json.loads(found.out)["findings"]}
    assert by_name["SIEM"]["health"] == "broken"
    assert "is it running" in by_name["SIEM"]["fix"]
    assert by_name["target lab-ws1"]["health"] == "ok"


def test_what_is_missing_is_a_usage_error(tmp_path: Path) -> None:
    assert "there is no [siem]" in harness("doctor", cwd=tmp_path).err
    found = harness("doctor", "--lab", "--es-url", "http://127.0.0.1:9", cwd=tmp_path)
    assert (found.code, "--siem elasticsearch" in found.err) == (2, True)
