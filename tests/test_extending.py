"""The guide to extending the harness, followed: each of its examples is made as it stands there, and does what its section says."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import timedelta
from threading import Event
from types import ModuleType
from typing import Any

import pytest

from harness.detect import Detector
from harness.engine import Engine, Patience
from harness.errors import ConnectFailed, Refused, StepTimeout, UsageError
from harness.logic.explain import explain
from harness.model.intent import Connect, Expectation, Plan, PlannedStep, Rule, Step, WinRS
from harness.model.report import RunFinished
from harness.siem.elastic.wire import Answer
from tests.builders import SYSMON, T0, event, rule, target
from tests.fakes import FakeClock, FakeSiem
from tests.needs import ROOT
from tests.reports import sample_reports as sample

GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, str] = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL))


def example(name: str) -> Any:
    """The module that the guide would have one write."""
    made = ModuleType(name)
    exec(compile(EXAMPLES[name], name, "exec"), made.__dict__)
    return made


def test_every_example_is_followed_and_stands_where_no_file_is() -> None:
    assert set(EXAMPLES) == {
        "harness/reports/counts.py",
        "harness/rules/words_file.py",
        "harness/siem/elastic/bell.py",
        "harness/transports/local.py",
    }
    assert not any((ROOT / name).exists() for name in EXAMPLES)


def test_the_files_to_change_are_there() -> None:
    for name in re.findall(r"`((?:harness|tests)/[\w/]+\.py)`", GUIDE):
        assert (ROOT / name).exists(), name
    assert "FORMATS" in (ROOT / "harness/cli/outputs.py").read_text()
    assert "WinrmTransport" in (ROOT / "harness/assemble.py").read_text()


def test_the_report_counts() -> None:
    counts = example("harness/reports/counts.py")
    assert counts.dump_counts(sample.gap()).splitlines()[0] == "ws5 DETECTED 3"
    assert "\x1b" not in counts.dump_counts(sample.hostile("\x1b[2J"))


def test_the_language_matches_explains_and_refuses() -> None:
    source = example("harness/rules/words_file.py").WordFiles()
    (made,) = source.parse("mimi: r-1\n", "list.words")
    assert isinstance(made, Rule)
    detector = Detector([made])
    found = [hit.rule.id for line in ("whoami", "MIMI.exe /x") for hit in detector.feed(event(line, SYSMON, 1, 1, {"CommandLine": line}))]
    assert found == ["r-1"]
    assert [kind.event_id for kind in explain(made, [], "list").kinds] == [1]
    with pytest.raises(UsageError, match=r"list\.words:2: has no id"):
        list(source.parse("a: b\nc\n", "list.words"))


def test_the_alert_source_reads_alerts_runs_and_rules() -> None:
    bell = example("harness/siem/elastic/bell.py").Bell()
    assert [search.index for search in bell.searches(frozenset({"r"}), T0)] == bell.indices
    alert = {
        "@timestamp": T0.isoformat(),
        "rule": "r",
        "level": "high",
        "host": "ws1",
        "event": {"index": "winlogbeat-1", "id": "e1"},
    }
    run = {"@timestamp": T0.isoformat(), "rule": "r", "from": (T0 - timedelta(minutes=5)).isoformat(), "to": T0.isoformat()}
    rung, ran = (Answer(hits=[{"_id": name, "_source": found}], aggregations={}, shards=1) for name, found in (("a", alert), ("b", run)))
    found = bell.read([rung, ran])
    assert [(each.rule, each.events) for each in found.alerts] == [("r", (("winlogbeat-1", "e1"),))]
    assert [(each.id, each.window_end) for each in found.runs] == [("b", T0)]
    assert found.last_run == T0
    assert len(bell.searches_of_rules(T0)) == 1
    engine = bell.engine([ran], T0 + timedelta(seconds=10))
    assert engine.running
    assert engine.rules["r"].look_back == timedelta(minutes=5)
    assert not bell.engine([ran], T0 + timedelta(hours=1)).running


@pytest.mark.skipif(sys.platform == "win32", reason="its command line is a shell's")
def test_the_transport_drives_a_run() -> None:
    module = example("harness/transports/local.py")
    clock = FakeClock()
    here = target()
    there = PlannedStep(
        id="s/1@ws1", scenario="s", step=Step(name="say", action=WinRS(command="echo said"), expect=(Expectation(rule="r"),)), target=here
    )

    engine = Engine(
        run_id="run",
        plan=Plan(steps=(there,), unexercisable={}),
        rules={"r": rule("r", SYSMON, 1)},
        transport=module.LocalTransport(),
        siem=FakeSiem(clock, "r"),
        clock=clock,
        patience=Patience(poll=0.25, siem=5.0, connect=3.0, grace=timedelta(seconds=1)),
    )
    (report,) = [progress.report for progress in engine.run(Event()) if isinstance(progress, RunFinished)]
    (verdict,) = report.verdicts
    assert verdict.detonation is not None
    assert verdict.detonation.outcome.output == ("said",)  # type: ignore[union-attr]
    assert verdict.detonation.identity.process_id is not None
    local = module.LocalTransport()
    with pytest.raises(ConnectFailed):
        local.open(replace(here, host="ws6.lab.example"), WinRS(command="x"))

    with pytest.raises(Refused):
        local.open(here, Connect())
    with pytest.raises(StepTimeout):
        local.open(here, WinRS(command="exec sleep 5")).run(0.01, Event())
