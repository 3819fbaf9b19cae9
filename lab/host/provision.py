"""What makes an emulated host a target of the lab, as lab/windows does with a real one.

Sysmon, an agent, the audit policy, PowerShell's logging, the logs. What is off here is so for whoever asks the host, and its telemetry
lacks what depends on it.
"""

from __future__ import annotations

from harness.events.audit import SETTINGS, SYSMON_SENSOR, Editor
from lab.host.audit_policy import AuditPolicy
from lab.host.happenings import Image
from lab.host.model import Host
from lab.host.registry import KeyNotFound, ValueNotFound
from lab.host.services import Service
from lab.windows.data import audited

_SYSMON = "C:\\Windows\\Sysmon64.exe"
_SYSMON_IMAGE = Image(
    original_name="Sysmon64.exe",
    description="System activity monitor",
    product="Sysinternals Sysmon",
    company="Sysinternals - www.sysinternals.com",
    version="11.11",
)
_AGENT = "C:\\Program Files\\Winlogbeat\\winlogbeat.exe"
_AGENT_IMAGE = Image(
    original_name="winlogbeat.exe",
    description="Winlogbeat ships Windows event logs",
    product="Winlogbeat",
    company="Elastic",
    version="8.19.6",
)


def provision(host: Host, off: frozenset[str], *, agent: bool) -> None:
    """Set the host up before anybody watches it. `off` are names of `harness.events.audit.SETTINGS`; `agent`: whether its agent runs."""
    lacking = [SETTINGS[name] for name in off]
    host.audit_policy = AuditPolicy(
        {**audited()} | {setting.guid.upper(): 0 for setting in lacking if setting.editor is Editor.AUDIT},
    )
    for setting in lacking:
        for value in setting.values:
            try:
                host.registry.unset(f"HKEY_LOCAL_MACHINE\\{value.key}", value.name)
            except (KeyNotFound, ValueNotFound):
                continue  # it has never had it
        if setting.editor is Editor.LOG and (log := host.logs.find(setting.log)) is not None:
            log.enabled = False
    if SYSMON_SENSOR.name in off:
        host.services.delete("Sysmon64")
    else:
        host.files.write(_SYSMON, b"MZ", image=_SYSMON_IMAGE)
        host.start_process(
            parent=host.service_control,
            path=_SYSMON,
            command_line=_SYSMON,
            logon=host.system_logon,
            directory="C:\\Windows\\system32",
        )
    host.files.make_directory(_AGENT.rpartition("\\")[0])
    host.files.write(_AGENT, b"MZ", image=_AGENT_IMAGE)
    host.services.create(
        Service(name="winlogbeat", display_name="winlogbeat", running=False, start_type="Automatic", type_code=0x10, image=_AGENT)
    )
    if agent:
        host.services.start("winlogbeat")


def sysmon_pid(host: Host) -> int:
    """The pid of its Sysmon; 0 where it has none."""
    return next((process.pid for process in host.processes if process.path == _SYSMON), 0)
