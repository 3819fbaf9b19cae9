"""The setting behind a kind of event, by the documented tables."""

from __future__ import annotations

import pytest

from harness.events.audit import SETTINGS, Editor, setting_behind, settings_behind
from harness.events.kinds import title_of

SYSMON = "Microsoft-Windows-Sysmon/Operational"
POWERSHELL = "Microsoft-Windows-PowerShell/Operational"


@pytest.mark.parametrize(
    ("channel", "event_id", "setting"),
    [
        (SYSMON, 1, "Sysmon with a rule for ProcessCreate"),
        (SYSMON.lower(), 3, "Sysmon with a rule for NetworkConnect"),
        (SYSMON, 13, "Sysmon with a rule for RegistryEvent"),
        (SYSMON, 255, ""),
        ("Security", 5156, 'audit policy "Audit Filtering Platform Connection"'),
        ("security", 4624, 'audit policy "Audit Logon"'),
        (
            "Security",
            4688,
            'audit policy "Audit Process Creation" and, for command lines, "Include command line in process creation events"',
        ),
        ("Security", 4657, 'audit policy "Audit Registry" and an audit entry (SACL) on the key'),
        ("Security", 4663, 'audit policy of "Object Access" for the kind of object, and an audit entry (SACL) on it'),
        ("Security", 1102, ""),  # always logged
        (POWERSHELL, 4103, "PowerShell Module Logging"),
        ("PowerShellCore/Operational", 4104, "PowerShell Script Block Logging"),
        ("Windows PowerShell", 400, ""),
        ("Windows PowerShell", 800, "PowerShell Module Logging"),
        ("Some-Vendor/Log", 1, ""),
    ],
)
def test_the_setting_behind_a_kind_of_event(channel: str, event_id: int, setting: str) -> None:
    assert setting_behind(channel, event_id) == setting


def test_every_audited_event_with_a_title_has_a_setting() -> None:
    titled = [event_id for event_id in range(4600, 5500) if title_of("Security", event_id)]
    assert titled
    assert [event_id for event_id in titled if not setting_behind("Security", event_id)] == []


@pytest.mark.parametrize(
    ("channel", "event_id", "names"),
    [
        (SYSMON, 1, ["sysmon", "sysmon-processcreate"]),
        (SYSMON, 4, ["sysmon"]),
        ("Security", 5156, ["filtering-platform-connection"]),
        ("Security", 1102, []),
        (POWERSHELL, 4104, ["powershell-log", "script-block-logging"]),
        (POWERSHELL, 53504, ["powershell-log"]),
        ("Windows PowerShell", 400, ["windows-powershell-log"]),
        ("Windows PowerShell", 800, ["windows-powershell-log", "module-logging"]),
        ("Microsoft-Windows-WinRM/Operational", 91, ["winrm-log"]),
        ("Some-Vendor/Log", 1, []),
    ],
)
def test_every_setting_behind_a_kind_of_event(channel: str, event_id: int, names: list[str]) -> None:
    assert [setting.name for setting in settings_behind(channel, event_id)] == names


def test_the_subcategories_have_the_guids_of_the_protocol() -> None:
    known = {  # [MS-GPAC] 2.2.1.2
        "logon": "{0CCE9215-69AE-11D9-BED3-505054503030}",
        "process-creation": "{0CCE922B-69AE-11D9-BED3-505054503030}",
        "filtering-platform-connection": "{0CCE9226-69AE-11D9-BED3-505054503030}",
        "special-logon": "{0CCE921B-69AE-11D9-BED3-505054503030}",
    }
    assert {name: SETTINGS[name].guid for name in known} == known
    guids = [setting.guid for setting in SETTINGS.values() if setting.editor is Editor.AUDIT]
    assert len(set(guids)) == len(guids)


def test_a_setting_says_where_it_is_made() -> None:
    for name, setting in SETTINGS.items():
        assert name == setting.name
        assert bool(setting.guid) == (setting.editor is Editor.AUDIT)
        assert bool(setting.values) == (setting.editor is Editor.REGISTRY)
        assert bool(setting.log) == (setting.editor in (Editor.LOG, Editor.SENSOR))
