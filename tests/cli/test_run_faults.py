"""What an outage, a wrong secret, a cut connection or an interrupt does to a run: never a miss, never a second execution, no secret."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from harness.model.facts import Execution, Failure, FailureKind
from harness.model.verdicts import Inconclusive, Outcome
from tests.cli.commands import Ended, UpLab, ended, harness, start
from tests.cli.proxies import Proxy

NETWORK = "13acf386-b8c6-4fe0-9a6e-c4756b974698"


def calls(path: Path, *scripts: str, timeout: str = "60s", cleanup: str = "") -> Path:
    """A scenario of remote calls, of each of which the rule on WinRM connections must tell; `cleanup` is the first one's."""
    steps = []
    for number, script in enumerate(scripts):
        step = {"name": f"call {number}", "invoke_command": {"script": script}, "timeout": timeout, "expect": [{"rule": NETWORK}]}
        if cleanup and not number:
            step["cleanup"] = {"invoke_command": {"script": cleanup}}
        steps.append(step)
    name = path.name.split(".")[0]
    path.write_text(json.dumps({"id": name, "title": name, "steps": steps}))  # JSON is YAML
    return path


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    return calls(tmp_path / "s.scenario.yml", "Get-Service WinRM")


def causes(found: Ended, target: str) -> list[str]:
    return [verdict.cause for verdict in found.full.verdicts if verdict.target == target]


def inconclusive(found: Ended, target: str) -> set[Inconclusive | None]:
    return {verdict.inconclusive for verdict in found.full.verdicts if verdict.target == target}


def intact(found: Ended, target: str) -> bool:
    return all(verdict.outcome is Outcome.DETECTED for verdict in found.full.verdicts if verdict.target == target)


BOTH = ("--target", "lab-ws1", "--target", "lab-ws2")


def test_real_targets_by_harness_toml(lab: UpLab, tmp_path: Path, scenario: Path) -> None:
    lab.settings(tmp_path / "harness.toml")
    found = harness("run", str(scenario), *BOTH, cwd=tmp_path, env={"LAB_PASSWORD": lab.password})
    assert found.code == 0, found.said
    assert intact(found, "lab-ws1")
    assert intact(found, "lab-ws2")


def test_a_wrong_password(lab: UpLab, tmp_path: Path, scenario: Path) -> None:
    lab.settings(tmp_path / "harness.toml", passwords={"lab-ws1": "WRONG"})
    canary = f"canary-{secrets.token_hex(8)}"
    found = harness("run", str(scenario), *BOTH, cwd=tmp_path, env={"LAB_PASSWORD": lab.password, "WRONG": canary})
    assert found.code == 3, found.said
    assert inconclusive(found, "lab-ws1") == {Inconclusive.NOT_EXECUTED}
    assert "authentication" in causes(found, "lab-ws1")[0]
    assert intact(found, "lab-ws2")
    assert canary not in found.said
    assert canary not in "".join(path.read_text() for path in tmp_path.glob("report-*.json"))
    assert lab.password not in found.said


def test_a_closed_port(lab: UpLab, tmp_path: Path, scenario: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    lab.settings(tmp_path / "harness.toml", ports={"lab-ws1": free})
    env = {"LAB_PASSWORD": lab.password, "HARNESS_RUN_CONNECT_TIMEOUT": "1s"}
    found = harness("run", str(scenario), *BOTH, cwd=tmp_path, env=env)
    assert found.code == 3, found.said
    assert inconclusive(found, "lab-ws1") == {Inconclusive.NOT_EXECUTED}
    assert "connect" in causes(found, "lab-ws1")[0]
    assert intact(found, "lab-ws2")


@pytest.mark.parametrize(
    ("cut_at", "after"), [(0, False), (2, False), (4, False), (6, False), (6, True), (8, False), (8, True), (10, True)]
)
def test_the_connection_is_cut_and_the_step_ran_at_most_once(lab: UpLab, tmp_path: Path, cut_at: int, after: bool) -> None:
    """Before, during and after the command is sent, which a chunk's number stands for: the client's chunks come in a fixed order."""
    marker = f"marker-{secrets.token_hex(6)}"
    scenario = calls(tmp_path / "cut.scenario.yml", f"Write-Output {marker}")
    port = lab.place["targets"][0]["port"]
    with Proxy(port, lambda number, _: number == cut_at, for_good=False, after=after) as proxy:
        lab.settings(tmp_path / "harness.toml", ports={"lab-ws1": proxy.port})
        found = harness("run", str(scenario), *BOTH, cwd=tmp_path, env={"LAB_PASSWORD": lab.password})
    ran = sum(marker in text for text in lab.scripts())
    assert ran <= 2, "once on either target"
    assert intact(found, "lab-ws2")
    (verdict,) = [verdict for verdict in found.full.verdicts if verdict.target == "lab-ws1"]
    assert verdict.outcome is not Outcome.MISSED
    if verdict.detonation is not None and isinstance(verdict.detonation.outcome, Failure):
        assert found.code == 3
        assert verdict.inconclusive is Inconclusive.NOT_EXECUTED


def test_the_endpoint_is_killed_in_mid_step(lab: UpLab, tmp_path: Path) -> None:
    scenario = calls(tmp_path / "slow.scenario.yml", "Write-Output started; Start-Sleep -Seconds 30")
    quick = calls(tmp_path / "z-next.scenario.yml", "Get-Date", timeout="5s")
    with Proxy(lab.place["targets"][0]["port"], lambda *_: False) as proxy:
        lab.settings(tmp_path / "harness.toml", ports={"lab-ws1": proxy.port})
        report = tmp_path / "report.json"
        env = {"LAB_PASSWORD": lab.password, "HARNESS_RUN_CONNECT_TIMEOUT": "1s"}
        process = start("run", str(scenario), str(quick), "--target", "lab-ws1", "--json", str(report), cwd=tmp_path, env=env)
        wait_until(lambda: any("Start-Sleep" in text for text in lab.scripts()))
        proxy.cut_now()
        found = ended(process, report)
    assert found.code == 3, found.said
    assert {verdict.inconclusive for verdict in found.full.verdicts} == {Inconclusive.NOT_EXECUTED}
    kinds = [v.detonation.outcome.kind for v in found.full.verdicts if v.detonation and isinstance(v.detonation.outcome, Failure)]
    assert kinds == [FailureKind.CONNECTION_LOST, FailureKind.CONNECT]


def test_a_step_that_takes_too_long_is_stopped(lab: UpLab, tmp_path: Path) -> None:
    scenario = calls(tmp_path / "long.scenario.yml", "Start-Sleep -Seconds 60", timeout="1s")
    found = harness("run", str(scenario), "--lab", "--target", "lab-ws1", cwd=tmp_path, env=lab.env)
    assert found.code == 3, found.said
    assert "timeout" in causes(found, "lab-ws1")[0]


def test_the_siems_file_is_gone_before_the_run(lab: UpLab, tmp_path: Path, scenario: Path) -> None:
    lab.settings(tmp_path / "harness.toml")
    before = lab.counted("connections")
    env = {"LAB_PASSWORD": lab.password, "HARNESS_SIEM_PATH": str(tmp_path / "nowhere.sqlite"), "HARNESS_RUN_SIEM_TIMEOUT": "1s"}
    found = harness("run", str(scenario), *BOTH, cwd=tmp_path, env=env)
    assert found.code == 3, found.said
    assert {verdict.inconclusive for verdict in found.full.verdicts} == {Inconclusive.SIEM_LOST}
    assert "nowhere.sqlite" in found.full.verdicts[0].cause
    assert lab.counted("connections") == before, "nothing was sent"


def test_the_siems_file_goes_in_mid_run(lab: UpLab, tmp_path: Path) -> None:
    """The run reads a link to the lab's file, so that the file can go without hurting the other tests."""
    scenario = calls(tmp_path / "two.scenario.yml", "Get-Date", "Start-Sleep -Seconds 4")
    lab.settings(tmp_path / "harness.toml")
    store = tmp_path / "siem.sqlite"
    live = Path(str(lab.place["siem"]))
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"siem.sqlite{suffix}").symlink_to(f"{live}{suffix}")
    report = tmp_path / "report.json"
    env = {"LAB_PASSWORD": lab.password, "HARNESS_SIEM_PATH": str(store), "HARNESS_RUN_SIEM_TIMEOUT": "1s"}
    process = start("run", str(scenario), "--target", "lab-ws1", "--json", str(report), cwd=tmp_path, env=env)
    wait_until(lambda: any("Start-Sleep -Seconds 4" in text for text in lab.scripts()))
    store.unlink()
    found = ended(process, report)
    assert found.code == 3, found.said
    lost = [verdict for verdict in found.full.verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
    assert lost
    assert {verdict.inconclusive for verdict in lost} == {Inconclusive.SIEM_LOST}
    assert not [verdict for verdict in found.full.verdicts if verdict.outcome in (Outcome.MISSED, Outcome.BLIND)]


def test_an_interrupt_runs_the_cleanups_and_leaves_a_partial_report(lab: UpLab, tmp_path: Path) -> None:
    marker = f"marker-{secrets.token_hex(6)}"
    scenario = calls(
        tmp_path / "long.scenario.yml",
        "Get-Date",
        f"Write-Output {marker}-under-way; Start-Sleep -Seconds 60",
        cleanup=f"Write-Output {marker}",
    )
    report = tmp_path / "report.json"
    process = start("run", str(scenario), "--lab", "--target", "lab-ws1", "--json", str(report), cwd=tmp_path, env=lab.env)
    wait_until(lambda: any(f"{marker}-under-way" in text for text in lab.scripts()))
    process.send_signal(signal.SIGINT)
    found = ended(process, report)
    assert found.code == 130, found.said
    assert found.full.interrupted
    assert [text for text in lab.scripts() if text.strip() == f"Write-Output {marker}"]
    (cleanup,) = found.full.cleanups
    assert isinstance(cleanup.outcome, Execution)
    under_way = [verdict for verdict in found.full.verdicts if verdict.planned.startswith("long/2")]
    assert [verdict.inconclusive for verdict in under_way] == [Inconclusive.INTERRUPTED]


def test_no_secret_in_any_output_or_process_list(lab: UpLab, tmp_path: Path) -> None:
    scenario = calls(tmp_path / "slow.scenario.yml", "Start-Sleep -Seconds 3")
    lab.settings(tmp_path / "harness.toml")
    report = tmp_path / "report.json"
    process = start("run", str(scenario), *BOTH, "--json", str(report), cwd=tmp_path, env={"LAB_PASSWORD": lab.password})
    lists = []
    while process.poll() is None:
        lists += [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists() and readable(path)]
        time.sleep(0.2)
    found = ended(process, report)
    assert found.code == 0, found.said
    assert lists or not Path("/proc/self/cmdline").exists()
    assert not [line for line in lists if lab.password.encode() in line]
    assert lab.password not in found.said + report.read_text()
    assert lab.password not in json.dumps(lab.status())


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ('[scope]\nhosts = ["10.0.0.0/8"]\nexpires = 2099-12-31\n', "127.0.0.1"),
        ('[scope]\nhosts = ["127.0.0.1"]\nexpires = 2020-01-01\n', "expired"),
        ("", "no [scope]"),
    ],
)
def test_out_of_scope_is_refused_before_a_packet(lab: UpLab, tmp_path: Path, scenario: Path, scope: str, said: str) -> None:
    path = lab.settings(tmp_path / "harness.toml")
    text = path.read_text()
    path.write_text(scope + text[text.index("[siem]") :])
    before = lab.counted("connections")
    found = harness("run", str(scenario), "--target", "lab-ws1", cwd=tmp_path, env={"LAB_PASSWORD": lab.password})
    assert found.code == 4, found.said
    assert said in found.said
    assert lab.counted("connections") == before


def test_a_lab_that_is_killed_leaves_no_stale_note(tmp_path: Path) -> None:
    made = UpLab(directory=tmp_path, state=tmp_path / "lab.json")
    assert harness("lab", "up", cwd=tmp_path, env=made.env).code == 0
    shutil.copy(made.state, tmp_path / "copy.json")
    assert harness("lab", "down", cwd=tmp_path, env=made.env).code == 0
    shutil.copy(tmp_path / "copy.json", made.state)
    wait_until(lambda: harness("lab", "status", cwd=tmp_path, env=made.env).code == 3)
    assert not made.state.exists()


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def wait_until(condition: object, within: float = 30.0) -> None:
    """Ask again until it holds; bounded, so that a fault ends the test and not the patience of CI."""
    assert callable(condition)
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.1)
