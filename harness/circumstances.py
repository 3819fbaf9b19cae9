"""What of the settings a run hangs on, as circumstances that a later run can be held against.

No secret, nor a reference to one, is among them: only what is named here is taken. It must never know what became of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum

from harness.events.audit import SETTINGS, Editor
from harness.model.intent import Target
from harness.model.report import Aspect, Circumstance
from harness.settings import ElasticsearchSettings, Settings
from lab.process import AGENT, LabConfig, off_at, targets_of

_RUN = ("poll_interval", "grace", "siem_timeout", "connect_timeout")
_ELASTICSEARCH = ("urls", "cloud_id", "events", "alerts", "writeback", "space", "ingest_lag", "rule_interval")
_LAB = ("user", "hosts", "ingest_delay", "rule_interval", "look_back", "schedule_running")
_ACCESS = ("schemes", "allow_unencrypted", "tls", "auth")
_TARGET = ("host", "port", "tls", "auth", "user", "computer", "seen_from")


def of_settings(settings: Settings, *, asks_siem: bool) -> Iterator[Circumstance]:
    """Of every run: its pace and, where it asks the SIEM of the settings, that."""
    yield from _said("run", settings.run, _RUN)
    if asks_siem and isinstance(settings.siem, ElasticsearchSettings):
        yield from _said("siem", settings.siem, _ELASTICSEARCH)


def of_targets(targets: Iterable[Target]) -> Iterator[Circumstance]:
    """Of targets of the settings: how each is reached."""
    for target in targets:
        yield from _said(f"target {target.name}", target, _TARGET, about=target.name)


def of_lab(settings: Settings, place: LabConfig) -> Iterator[Circumstance]:
    """Of a lab that the run itself starts. One that was up before may have been started with other settings."""
    yield from _said("lab", settings.lab, _LAB)
    yield from _said("lab.access", settings.lab.access, _ACCESS)
    for name, access in sorted(settings.lab.own_access.items()):
        yield from _said(f"lab.access.{name}", access, _ACCESS)
    for target in targets_of(place):
        off = off_at(place, target.name)
        yield _switch(Aspect.SENSOR, target.name, AGENT, off)
        for setting in SETTINGS.values():
            aspect = Aspect.SENSOR if setting.editor in (Editor.SENSOR, Editor.SYSMON) else Aspect.AUDIT
            yield _switch(aspect, target.name, setting.name, off)


def _switch(aspect: Aspect, target: str, name: str, off: frozenset[str]) -> Circumstance:
    return Circumstance(aspect=aspect, about=target, name=name, value="off" if name in off else "on")


def _said(section: str, values: object, names: Iterable[str], about: str = "") -> Iterator[Circumstance]:
    for name in names:
        yield Circumstance(aspect=Aspect.SETTING, about=about, name=f"{section}.{name}", value=_text(getattr(values, name)))


def _text(value: object) -> str:
    match value:
        case timedelta():
            return f"{value.total_seconds():g} s"
        case tuple():
            return ", ".join(map(_text, value))
        case Enum():
            return str(value.value)
        case bool():
            return "true" if value else "false"
        case None:
            return "not set"
        case _:
            return str(value)
