"""Each cause of a broken expectation, made to happen in the lab: the difference of the two runs names it first.

One green run stands before all of them: its history is copied for each, so that what differs is what the case made happen.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.model.changes import CauseKind
from harness.rules.catalog import load_rules
from harness.rules.languages import rule_sources
from harness.siem.embedded.client import EmbeddedClient
from tests.cli.commands import UpLab, harness, write_scenario

RULE = "4f5e3c0a-6c1e-4f0e-9a55-0c0c2f6a1d77"
SENSED = "4f5e3c0a-6c1e-4f0e-9a55-0c0c2f6a1d78"
RULE_TEXT = """
    title: whoami was run
    id: {id}
    status: test
    logsource: {{service: {service}, product: windows}}
    detection:
        selection:
            EventID: {event}
            CommandLine|contains: '{text}'
        condition: selection
    level: {level}
"""
SCENARIO = """
    id: one
    title: A program that tells who we are
    steps:
      - name: whoami
        enter_pssession: ['{line}']
        expect:
          - {{rule: {audited}, within: {within}, severity: medium}}
          - {{rule: {sensed}, within: {within}}}
"""
FAST = '[lab]\ningest_delay = "50ms"\nrule_interval = "200ms"\n'
TARGET = ("--lab", "--target", "lab-ws1")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A directory with a rule, a scenario, settings and a history."""

    directory: Path

    def write(
        self, *, text: str = "whoami", level: str = "medium", line: str = "whoami.exe /all", within: str = "3s", more: str = ""
    ) -> None:
        rules = self.directory / "rules"
        rules.mkdir(exist_ok=True)
        audited = RULE_TEXT.format(id=RULE, service="security", event=4688, text=text, level=level)
        write_scenario(rules / "one.yml", audited)
        write_scenario(rules / "two.yml", RULE_TEXT.format(id=SENSED, service="sysmon", event=1, text="whoami", level="medium"))
        write_scenario(self.directory / "one.scenario.yml", SCENARIO.format(audited=RULE, sensed=SENSED, line=line, within=within))
        (self.directory / "harness.toml").write_text(FAST + more)

    def known_to(self, lab: UpLab) -> None:
        """Deploy the rule to the SIEM of the lab that is up, as to one that is not ours to start."""
        EmbeddedClient(Path(lab.place["siem"])).deploy(load_rules([self.directory / "rules"], rule_sources()))

    def run(self, *where: str, env: dict[str, str] | None = None) -> str:
        """Run, and what the run ended with."""
        own = {"HARNESS_HISTORY": str(self.directory / "h.sqlite"), "HARNESS_LAB_STATE_FILE": str(self.directory / "none.json")}
        ended = harness("run", "one.scenario.yml", "--rules", "rules", *(where or TARGET), cwd=self.directory, env=own | (env or {}))
        outcomes = [verdict.outcome for verdict in sorted(ended.full.verdicts, key=lambda verdict: verdict.expectation.rule)]
        return f"{ended.code} {', '.join(outcomes)}"


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(directory=tmp_path_factory.mktemp("green"))
    place.write()
    assert place.run() == "0 DETECTED, DETECTED"
    return place


def rule_text(place: Place, lab: UpLab) -> str:
    place.write(text="whoami /")
    return place.run()


def rule_severity(place: Place, lab: UpLab) -> str:
    place.write(level="low")
    return place.run()


def rule_disabled(place: Place, lab: UpLab) -> str:
    place.write(more=f'disabled = ["{RULE}"]\n')
    return place.run()


def exception(place: Place, lab: UpLab) -> str:
    place.write(more=f'[[lab.exceptions]]\nrule = "{RULE}"\nname = "backup account"\nwhen = {{CommandLine = "*whoami*"}}\n')
    return place.run()


def rule_interval(place: Place, lab: UpLab) -> str:
    place.write(more="")
    (place.directory / "harness.toml").write_text(FAST.replace("200ms", "12s"))
    return place.run()


def ingest_lag(place: Place, lab: UpLab) -> str:
    place.write()
    (place.directory / "harness.toml").write_text(FAST.replace("50ms", "4s"))
    return place.run()


def scenario(place: Place, lab: UpLab) -> str:
    place.write(line="hostname.exe")
    return place.run()


def expectation(place: Place, lab: UpLab) -> str:
    place.write(within="1ms")
    return place.run()


def target_down(place: Place, lab: UpLab) -> str:
    place.write()
    place.known_to(lab)
    lab.settings(place.directory / "harness.toml", ports={"lab-ws1": 9})
    with (place.directory / "harness.toml").open("a") as file:
        file.write('[run]\nconnect_timeout = "200ms"\n')
    return place.run("--target", "lab-ws1", env={"LAB_PASSWORD": lab.password})


def unauthorised(place: Place, lab: UpLab) -> str:
    place.write()
    place.known_to(lab)
    lab.settings(place.directory / "harness.toml")
    return place.run("--target", "lab-ws1", env={"LAB_PASSWORD": "not the password"})


def siem_down(place: Place, lab: UpLab) -> str:
    place.write()
    settings = lab.settings(place.directory / "harness.toml").read_text().replace(str(lab.place["siem"]), "gone.sqlite")
    (place.directory / "harness.toml").write_text(settings + '[run]\nsiem_timeout = "200ms"\n')
    return place.run("--target", "lab-ws1", env={"LAB_PASSWORD": lab.password})


def audit_setting(place: Place, lab: UpLab) -> str:
    place.write(more='off = ["process-creation"]\n')
    return place.run()


def sensor_setting(place: Place, lab: UpLab) -> str:
    place.write(more='off = ["lab-ws1/sysmon-processcreate"]\n')
    return place.run()


def agent(place: Place, lab: UpLab) -> str:
    place.write(more='off = ["agent"]\n')
    return place.run()


def telemetry(place: Place, lab: UpLab) -> str:
    """In a lab that was up before, of whose settings the run knows nothing."""
    place.write(more='off = ["process-creation"]\n')
    state = {"HARNESS_LAB_STATE_FILE": str(place.directory / "lab.json")}
    up = harness("lab", "up", cwd=place.directory, env=state)
    assert up.code == 0, up.said
    try:
        return place.run(env=state)
    finally:
        harness("lab", "down", cwd=place.directory, env=state)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is made to happen, how the run then ends, the cause that is first, and what is said of it."""

    happens: Callable[[Place, UpLab], str]
    ends: str
    cause: CauseKind
    said: tuple[str, ...]


HALF = ", DETECTED"
CASES = [
    Case(
        happens=rule_text,
        ends=f"1 MISSED{HALF}",
        cause=CauseKind.RULE_TEXT,
        said=("CommandLine contains whoami /", "in place of CommandLine contains whoami", "+ CommandLine|contains: 'whoami /'"),
    ),
    Case(happens=rule_severity, ends=f"1 MISGRADED{HALF}", cause=CauseKind.RULE_SEVERITY, said=("was medium, now it is low",)),
    Case(
        happens=rule_disabled,
        ends=f"3 INCONCLUSIVE{HALF}",
        cause=CauseKind.RULE_DISABLED,
        said=("the rule was enabled and is disabled in the SIEM",),
    ),
    Case(
        happens=exception,
        ends=f"1 MISSED{HALF}",
        cause=CauseKind.EXCEPTION,
        said=("the exception backup account was added", "CommandLine *whoami*"),
    ),
    Case(
        happens=audit_setting,
        ends=f"1 BLIND{HALF}",
        cause=CauseKind.AUDIT,
        said=("the audit setting process-creation on lab-ws1 was on, now it is off", "the rule reads security 4688"),
    ),
    Case(
        happens=sensor_setting,
        ends="1 DETECTED, BLIND",
        cause=CauseKind.SENSOR,
        said=("the sensor setting sysmon-processcreate on lab-ws1 was on, now it is off",),
    ),
    Case(happens=agent, ends="1 BLIND, BLIND", cause=CauseKind.SENSOR, said=("setting agent on lab-ws1 was on, now it is off",)),
    Case(
        happens=telemetry,
        ends=f"1 BLIND{HALF}",
        cause=CauseKind.TELEMETRY,
        said=(
            "Security 4688 no longer arrives from",
            "others of the host still do",
            'the setting behind it: audit policy "Audit Process Creation"',
        ),
    ),
    Case(
        happens=rule_interval,
        ends="1 LATE, LATE",
        cause=CauseKind.RULE_INTERVAL,
        said=("the rule's interval was 0.2 s, now it is 12 s",),
    ),
    Case(happens=ingest_lag, ends="1 LATE, LATE", cause=CauseKind.INGEST_LAG, said=("the ingest lag of lab-ws1 was 0.",)),
    Case(happens=scenario, ends="1 MISSED, MISSED", cause=CauseKind.SCENARIO, said=("- whoami.exe /all", "+ hostname.exe")),
    Case(happens=expectation, ends="1 LATE, LATE", cause=CauseKind.EXPECTATION, said=("within 3 s", "within 0.001 s")),
    Case(
        happens=target_down,
        ends="3 INCONCLUSIVE, INCONCLUSIVE",
        cause=CauseKind.TARGET_DOWN,
        said=("the target lab-ws1 could not be driven",),
    ),
    Case(
        happens=unauthorised,
        ends="3 INCONCLUSIVE, INCONCLUSIVE",
        cause=CauseKind.UNAUTHORISED,
        said=("the target lab-ws1 refused us",),
    ),
    Case(happens=siem_down, ends="3 INCONCLUSIVE, INCONCLUSIVE", cause=CauseKind.SIEM_DOWN, said=("the SIEM did not answer",)),
]


@pytest.mark.parametrize("case", CASES, ids=[case.happens.__name__ for case in CASES])
def test_the_difference_names_what_happened_first(green: Place, lab: UpLab, tmp_path: Path, case: Case) -> None:
    shutil.copy(green.directory / "h.sqlite", tmp_path / "h.sqlite")
    ends = case.happens(Place(directory=tmp_path), lab)
    env = {"HARNESS_HISTORY": str(tmp_path / "h.sqlite")}
    told = harness("history", "diff", "--json", "-", cwd=tmp_path, env=env)
    document = json.loads(told.out)
    changes = document["changes"]
    everything = json.dumps(changes, indent=1)
    assert (ends, told.code, {change["kind"] for change in changes}) == (case.ends, 1, {"broken"}), everything
    assert {change["causes"][0]["kind"] for change in changes} == {case.cause.value}, everything
    first = changes[0]["causes"][0]
    text = "\n".join([first["what"], *first["evidence"]])
    assert [part for part in case.said if part not in text] == [], text
    for_people = harness("history", "diff", cwd=tmp_path, env=env).out
    assert f"  likeliest cause: {first['what']}\n" in for_people
