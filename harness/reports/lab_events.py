"""An event of the lab as one line for people: when, where, what, and the values that tell one such event from another. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from harness.events.kinds import title_of
from harness.reports.words import inert

_WIDEST = 160
_LOGS = {
    "security": "Security",
    "microsoft-windows-sysmon/operational": "Sysmon",
    "microsoft-windows-powershell/operational": "PowerShell",
    "windows powershell": "PowerShell classic",
    "microsoft-windows-winrm/operational": "WinRM",
}
# What is worth a glance, the first that an event has: a command line before an image, an image before an account.
_TELLING = (
    ("CommandLine",),
    ("NewProcessName",),
    ("ScriptBlockText",),
    ("Payload",),
    ("SourceAddress", "SourcePort", "DestAddress", "DestPort"),
    ("SourceIp", "SourcePort", "DestinationIp", "DestinationPort"),
    ("TargetServerName", "TargetUserName"),
    ("TargetUserName", "LogonType", "TargetLogonId"),
    ("SubjectUserName", "SubjectLogonId"),
    ("Image",),
    ("ProcessName",),
)


def short_line(document: Mapping[str, object]) -> str:
    """The line of a winlogbeat document. It is safe on a terminal, whatever the event holds."""
    logged = document.get("winlog")
    winlog: Mapping[str, object] = logged if isinstance(logged, dict) else {}
    channel, event_id = str(winlog.get("channel", "")), str(winlog.get("event_id", ""))
    moment = str(document.get("@timestamp", ""))[11:23]
    host = str(winlog.get("computer_name", "")).partition(".")[0].lower()
    title = title_of(channel, int(event_id)) if event_id.isdecimal() else ""
    log = _LOGS.get(channel.lower(), channel)
    line = f"{moment}  {host:<8}  {log} {event_id}  {title}: {_said(document, winlog)}"
    return inert(" ".join(line.split(" ")))[:_WIDEST]


def _said(document: Mapping[str, object], winlog: Mapping[str, object]) -> str:
    held = winlog.get("event_data")
    data: Mapping[str, object] = held if isinstance(held, dict) else {}
    for names in _TELLING:
        if all(name in data for name in names):
            values = [" ".join(str(data[name]).split()) for name in names]
            return f"{values[0]}:{values[1]} -> {values[2]}:{values[3]}" if len(values) == 4 else " ".join(values)
    lines = str(document.get("message", "")).splitlines()
    return next((line.strip() for line in lines if line.strip()), "")
