"""The setting behind a kind of event, by the documented tables."""

from __future__ import annotations

import pytest

from harness.events.audit import setting_behind
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
