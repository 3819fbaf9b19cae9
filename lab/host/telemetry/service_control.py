"""The service control manager: 7036 (a service runs, or stopped), 7040 (its start type) and 7045 (a new one) of System, 4697 of Security.

Pure. 7036 and 7040 as recorded (OTRF/Security-Datasets), 7045 and 4697 after Microsoft's reference. It must never know
who stops a service, or why.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.events.windows import Level
from lab.host.happenings import ServiceChange
from lab.host.hives import START
from lab.host.services import Act, Service
from lab.host.telemetry.journal import Entry, Provider
from lab.host.telemetry.origin import Origin
from lab.host.telemetry.security import audited, subject_of

SERVICE_CONTROL = Provider(channel="System", name="Service Control Manager", guid="{555908D1-A6D7-4695-8E1E-26931D2012F4}")

_CLASSIC = 0x8080000000000000
_SECURITY_SYSTEM_EXTENSION = 12289
_STARTS = {"Boot": "boot start", "System": "system start", "Automatic": "auto start", "Manual": "demand start", "Disabled": "disabled"}
_DRIVERS = {0x1: "kernel mode driver", 0x2: "file system driver"}


def changed(origin: Origin, change: ServiceChange) -> tuple[Entry, ...]:
    """The records of one change; none for what the manager does not log, such as a new description."""
    service, before = change.service, change.before
    match change.act:
        case Act.STARTED:
            return (_state(origin, service, "running"),)
        case Act.STOPPED:
            return (_state(origin, service, "stopped"),)
        case Act.CHANGED if before is not None and before.start_type != service.start_type:
            old, new = _STARTS[before.start_type], _STARTS[service.start_type]
            return (
                _entry(
                    origin,
                    7040,
                    {"param1": service.display_name, "param2": old, "param3": new, "param4": service.name},
                    f"The start type of the {service.display_name} service was changed from {old} to {new}.",
                    change.logon.account.sid,
                ),
            )
        case Act.INSTALLED:
            return (_installed(origin, change), _audited(origin, change))
    return ()


def _state(origin: Origin, service: Service, state: str) -> Entry:
    message = f"The {service.display_name} service entered the {state} state."
    return _entry(origin, 7036, {"param1": service.display_name, "param2": state}, message, None)


def _installed(origin: Origin, change: ServiceChange) -> Entry:
    service = change.service
    kind, start = _DRIVERS.get(service.type_code, "user mode service"), _STARTS[service.start_type]
    data = {
        "ServiceName": service.name,
        "ImagePath": service.image,
        "ServiceType": kind,
        "StartType": start,
        "AccountName": service.account,
    }
    message = (
        f"A service was installed in the system.\r\n\r\nService Name:  {service.name}\r\nService File Name:  {service.image}\r\n"
        f"Service Type:  {kind}\r\nService Start Type:  {start}\r\nService Account:  {service.account}"
    )
    return _entry(origin, 7045, data, message, change.logon.account.sid)


def _audited(origin: Origin, change: ServiceChange) -> Entry:
    """4697, in numbers what 7045 has in words."""
    service = change.service
    return audited(
        4697,
        _SECURITY_SYSTEM_EXTENSION,
        origin.lsass_pid,
        {
            **subject_of(origin, change.logon),
            "ServiceName": service.name,
            "ServiceFileName": service.image,
            "ServiceType": hex(service.type_code),
            "ServiceStartType": str(START[service.start_type]),
            "ServiceAccount": service.account,
        },
    )


def _entry(origin: Origin, event_id: int, data: Mapping[str, str], message: str, user_sid: str | None) -> Entry:
    return Entry(
        provider=SERVICE_CONTROL,
        event_id=event_id,
        version=0,
        level=Level.INFORMATION,
        task=0,
        opcode=0,
        keywords=_CLASSIC,
        process_id=origin.services_pid,
        user_sid=user_sid,
        data=data,
        message=message,
    )
