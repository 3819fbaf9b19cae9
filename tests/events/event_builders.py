"""Records of a host's event log, as the tests of this directory and of the SIEM want them."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.events.windows import Level, WindowsEvent

CREATED = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def process_created(
    record: int = 1, *, created: datetime = CREATED, computer: str = "WS1.lab.example", image: str = "whoami.exe"
) -> WindowsEvent:
    """Security 4688."""
    return WindowsEvent(
        channel="Security",
        provider="Microsoft-Windows-Security-Auditing",
        provider_guid="{54849625-5478-4994-A5BA-3E3B0328C30D}",
        event_id=4688,
        version=2,
        level=Level.LOG_ALWAYS,
        task=13312,
        opcode=0,
        keywords=0x8020000000000000,
        record_id=record,
        created=created,
        computer=computer,
        process_id=4,
        thread_id=212,
        data={"NewProcessId": "0x1d74", "NewProcessName": f"C:\\Windows\\System32\\{image}", "TargetUserName": "-", "CommandLine": ""},
        message="A new process has been created.",
    )


def engine_available(record: int = 1) -> WindowsEvent:
    """Windows PowerShell 400, a classic event: unnamed strings, no GUID, no process."""
    details = "\tNewEngineState=Available\r\n\tHostName=ServerRemoteHost\r\n\tCommandLine="
    return WindowsEvent(
        channel="Windows PowerShell",
        provider="PowerShell",
        provider_guid=None,
        event_id=400,
        version=0,
        level=Level.INFORMATION,
        task=4,
        opcode=0,
        keywords=0x80000000000000,
        record_id=record,
        created=CREATED,
        computer="WS1.lab.example",
        process_id=None,
        thread_id=None,
        strings=("Available", "None", details),
        message=f"Engine state is changed from None to Available. \r\n\r\nDetails: \r\n{details}",
    )


def module_logged(record: int = 1) -> WindowsEvent:
    """PowerShell/Operational 4103."""
    return WindowsEvent(
        channel="Microsoft-Windows-PowerShell/Operational",
        provider="Microsoft-Windows-PowerShell",
        provider_guid="{A0C1853B-5C40-4B15-8766-3CF1C58F985A}",
        event_id=4103,
        version=1,
        level=Level.INFORMATION,
        task=106,
        opcode=20,
        keywords=0,
        record_id=record,
        created=CREATED,
        computer="WS1.lab.example",
        process_id=3984,
        thread_id=3616,
        user_sid="S-1-5-21-1-2-3-1000",
        activity_id="{1ACA0717-2ACB-0002-C208-CA1ACB2AD601}",
        data={
            "ContextInfo": "        Host Name = ServerRemoteHost\r\n",
            "UserData": "",
            "Payload": 'CommandInvocation(Get-Date): "Get-Date"\r\n',
        },
    )


def connection(record: int = 1) -> WindowsEvent:
    """Sysmon 3, which is written some while after the connection was made."""
    return WindowsEvent(
        channel="Microsoft-Windows-Sysmon/Operational",
        provider="Microsoft-Windows-Sysmon",
        provider_guid="{5770385F-C22A-43E0-BF4C-06F5698FFBD9}",
        event_id=3,
        version=5,
        level=Level.INFORMATION,
        task=3,
        opcode=0,
        keywords=0x8000000000000000,
        record_id=record,
        created=CREATED,
        computer="WS1.lab.example",
        process_id=2644,
        thread_id=4204,
        user_sid="S-1-5-18",
        data={"RuleName": "-", "UtcTime": "2026-03-01 11:59:57.580", "ProcessId": "4", "Initiated": "false", "DestinationPort": "5985"},
    )
