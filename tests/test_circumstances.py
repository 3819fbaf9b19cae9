"""What of the settings a run hangs on: everything that a verdict may depend on, and no secret."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.assemble import lab_config
from harness.circumstances import of_lab, of_settings, of_targets
from harness.model.intent import Target
from harness.model.report import Aspect
from harness.settings import ElasticsearchSettings, LabAccess, LabSettings, Settings

ELASTIC = ElasticsearchSettings(urls=("https://siem:9200",), user="u", password="env:HUNTER", api_key="env:HUNTER", bearer="env:HUNTER")
SETTINGS = Settings(
    siem=ELASTIC,
    lab=LabSettings(off=("lab-ws1/process-creation", "agent"), account_password="env:HUNTER", own_access={"ws2": LabAccess(tls=True)}),
)


def test_the_siem_of_the_settings_is_told_where_it_is_asked() -> None:
    told = {each.name: each.value for each in of_settings(SETTINGS, asks_siem=True)}
    assert told["siem.urls"] == "https://siem:9200"
    assert told["run.grace"] == "2 s"
    assert not any(each.name.startswith("siem") for each in of_settings(SETTINGS, asks_siem=False))
    assert not any(each.name.startswith("siem") for each in of_settings(Settings(), asks_siem=True))


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the references stand for."""
    monkeypatch.setenv("HUNTER", "HUNTER two")


def test_the_switches_of_the_labs_hosts_are_told_one_by_one() -> None:
    told = {(each.aspect, each.about, each.name): each.value for each in of_lab(SETTINGS, lab_config(SETTINGS))}
    audit = [told[(Aspect.AUDIT, host, "process-creation")] for host in ("lab-ws1", "lab-ws2")]
    assert audit == ["off", "on"]
    assert told[(Aspect.SENSOR, "lab-ws2", "agent")] == "off"
    assert told[(Aspect.SENSOR, "lab-ws2", "sysmon-processcreate")] == "on"
    assert told[(Aspect.SETTING, "", "lab.access.ws2.tls")] == "true"
    assert told[(Aspect.SETTING, "", "lab.ingest_delay")] == "0.3 s"


def test_targets_are_told_each_for_itself() -> None:
    target = Target(name="ws6", host="ws6.lab.example")
    told = list(of_targets([target, replace(target, name="ws7", port=5986)]))
    assert {(each.about, each.name): each.value for each in told}[("ws7", "target ws7.port")] == "5986"


def test_no_secret_nor_a_reference_to_one_is_among_them() -> None:
    everything = [*of_settings(SETTINGS, asks_siem=True), *of_lab(SETTINGS, lab_config(SETTINGS))]
    assert not any("HUNTER" in each.value for each in everything)
