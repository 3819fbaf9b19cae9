"""The WinRM service's own log: 91, a shell was opened for a client.

Pure. The event's template has two values, resourceUri and shellId, and Windows writes the client's name and address into the first
(manifest of Microsoft-Windows-WinRM; 6, 8, 15, 16 and 33 of it are a client's, 169 is in no listing of current versions). It must never
know what the shell is used for.
"""

from __future__ import annotations

from harness.events.windows import Level
from lab.host.happenings import RemoteShell
from lab.host.telemetry.journal import Entry, Provider
from lab.host.telemetry.origin import Origin

WINRM = Provider(
    channel="Microsoft-Windows-WinRM/Operational",
    name="Microsoft-Windows-WinRM",
    guid="{A7975C8F-AC13-49F1-87DA-5A984A4AB417}",
)

_REQUEST_HANDLING = 9
_SERVER = 0x4000000000000004


def shell_opened(origin: Origin, shell: RemoteShell, activity_id: str) -> Entry:
    """91. The service writes it in the client's name, which is why its record bears the account's SID."""
    account = shell.logon.account
    uri = f"{shell.resource_uri} ({account.domain}\\{account.name} clientIP: {shell.client_ip})"
    return Entry(
        provider=WINRM,
        event_id=91,
        version=0,
        level=Level.INFORMATION,
        task=_REQUEST_HANDLING,
        opcode=0,
        keywords=_SERVER,
        process_id=origin.winrm_pid,
        user_sid=account.sid,
        activity_id=activity_id,
        data={"resourceUri": uri, "shellId": shell.shell_id},
        message=f"Creating WSMan shell on server with ResourceUri: {uri}\r\nShellId: {shell.shell_id}",
    )
