"""The data files of this directory as texts: the settings for the scripts, Sysmon's configuration, and winlogbeat's.

It must never know how a setting is made on a host: that is the scripts'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.events.audit import SETTINGS, SYSMON_TAGS, Editor, HostSetting, RegistryValue, events_behind

SYSMON_SCHEMA = "4.50"
"""The oldest schema of Sysmon's configuration that knows every tag used here; newer Sysmons read older schemas."""

_TRACED = ("ProcessCreate", "NetworkConnect", "ProcessTerminate", "FileCreate", "RegistryEvent", "PipeEvent", "WmiEvent", "DnsQuery")
"""What Sysmon logs on a target: what the lab's own hosts log, and what rules about remote execution read besides. All of it: a filter would
be a blind spot that nobody proved."""

_AUDITED = (
    "Logon",
    "Logoff",
    "Special Logon",
    "Credential Validation",
    "Process Creation",
    "Process Termination",
    "Filtering Platform Connection",
    "File Share",
    "Other Object Access Events",
    "User Account Management",
    "Security Group Management",
    "Security System Extension",
    "Audit Policy Change",
)
_FAILURES_TOO = frozenset({"Logon", "Credential Validation", "Filtering Platform Connection"})
_LOG_BYTES: Mapping[str, int] = {"winrm-log": 64 << 20, "powershell-log": 256 << 20, "windows-powershell-log": 64 << 20}

# Without it the nine old categories of the audit policy overrule the subcategories (Microsoft, "Force audit policy subcategory settings").
_SUBCATEGORIES_COUNT = HostSetting(
    name="subcategories-count",
    editor=Editor.REGISTRY,
    title="Audit: Force audit policy subcategory settings to override audit policy category settings",
    values=(RegistryValue(key="SYSTEM\\CurrentControlSet\\Control\\Lsa", name="SCENoApplyLegacyAuditPolicy", data=1),),
)
_OMITTED = frozenset({"script-block-invocation-logging"})
"""Two events for each script block, which no rule reads."""

CHANNELS = (
    "Security",
    "System",
    "Microsoft-Windows-Sysmon/Operational",
    "Microsoft-Windows-PowerShell/Operational",
    "Windows PowerShell",
    "Microsoft-Windows-WinRM/Operational",
)
"""What an agent ships."""

_HEADER = "made by python -m lab.windows from harness/events/audit.py: change that, and make it anew"


def provisioned() -> tuple[HostSetting, ...]:
    """The settings that a host is given, in the order in which they are made; what Sysmon traces stands in its configuration."""
    made = [_SUBCATEGORIES_COUNT]
    for setting in SETTINGS.values():
        wanted = setting.title in _AUDITED if setting.editor is Editor.AUDIT else setting.editor is not Editor.SYSMON
        if wanted and setting.name not in _OMITTED:
            made.append(setting)
    return tuple(made)


def audited() -> Mapping[str, int]:
    """What is audited on a target, by the GUIDs of subcategories in upper case: 1 success, 3 failures as well."""
    return {setting.guid.upper(): 3 if setting.title in _FAILURES_TOO else 1 for setting in provisioned() if setting.editor is Editor.AUDIT}


def traced() -> tuple[HostSetting, ...]:
    """What Sysmon logs on a target, by its filtering tags."""
    return tuple(setting for setting in SETTINGS.values() if setting.editor is Editor.SYSMON and setting.title in _TRACED)


def settings_psd1() -> str:
    """`Settings.psd1`: each setting with what the scripts need to read and make it, and the events that depend on it."""
    lines = [f"# {_HEADER}", "@{", "    Settings = @("]
    lines += [f"        {line}" for setting in provisioned() for line in _psd1(setting)]
    return "\r\n".join([*lines, "    )", "}", ""])


def _psd1(setting: HostSetting) -> Iterator[str]:
    fields: dict[str, str | int] = {
        "Name": setting.name,
        "Title": setting.title,
        "Editor": setting.editor.value,
        "Events": _events(setting),
    }
    match setting.editor:
        case Editor.AUDIT:
            fields |= {"Guid": setting.guid.upper(), "Value": audited()[setting.guid.upper()]}
        case Editor.LOG:
            fields |= {"Log": setting.log, "Size": _LOG_BYTES[setting.name]}
    pairs = [f"{name} = {_literal(value)}" for name, value in fields.items()]
    if setting.values:
        values = (
            f"@{{ Key = {_literal('HKLM:' + chr(92) + value.key)}; Name = {_literal(value.name)}; Data = {_literal(value.data)} }}"
            for value in setting.values
        )
        pairs.append(f"Values = @({', '.join(values)})")
    yield f"@{{ {'; '.join(pairs)} }}"


def _events(setting: HostSetting) -> str:
    """For people: "Security 4624, 4625, 4648"."""
    if setting is _SUBCATEGORIES_COUNT:
        return "every event of the audit policy below"
    if setting.editor is Editor.LOG:
        return f"everything in {setting.log}"
    if setting.editor is Editor.SENSOR:
        return "; ".join(_kinds(setting for setting in traced()))
    return "; ".join(_kinds([setting])) or "the command line of Security 4688"


def _kinds(settings: Iterable[HostSetting]) -> Iterator[str]:
    by_channel: dict[str, list[int]] = {}
    for setting in settings:
        for channel, number in events_behind(setting):
            by_channel.setdefault(_CHANNEL_NAME[channel], []).append(number)
    for channel, numbers in by_channel.items():
        yield f"{channel} {', '.join(map(str, sorted(numbers)))}"


_CHANNEL_NAME = {
    "microsoft-windows-sysmon/operational": "Sysmon",
    "microsoft-windows-powershell/operational": "PowerShell",
    "windows powershell": "Windows PowerShell",
    "security": "Security",
}


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def sysmon_xml() -> str:
    """Sysmon's configuration: everything of the tags that are traced, nothing of the others."""
    lines = [
        f"<!-- {_HEADER} -->",
        f'<Sysmon schemaversion="{SYSMON_SCHEMA}">',
        "  <HashAlgorithms>SHA256,IMPHASH</HashAlgorithms>",
        "  <EventFiltering>",
    ]
    wanted = {setting.title for setting in traced()}
    for tag in dict.fromkeys(SYSMON_TAGS.values()):
        if tag in wanted:
            numbers = ", ".join(str(number) for number, name in sorted(SYSMON_TAGS.items()) if name == tag)
            lines.append(f"    <!-- {numbers}: all that is not excluded, and nothing is -->")
        if tag in wanted or tag in _OLD_ENOUGH:
            lines.append(f'    <RuleGroup groupRelation="or"><{tag} onmatch="{"exclude" if tag in wanted else "include"}" /></RuleGroup>')
    return "\r\n".join([*lines, "  </EventFiltering>", "</Sysmon>", ""])


_OLD_ENOUGH = frozenset(
    {
        *("FileCreateTime", "DriverLoad", "ImageLoad", "CreateRemoteThread", "RawAccessRead", "ProcessAccess", "FileCreateStreamHash"),
        *("FileDelete", "ClipboardChange", "ProcessTampering"),
    }
)
"""Tags of schema 4.50; a Sysmon of that schema refuses a file that names a later one."""


def winlogbeat_yml() -> str:
    """The part of winlogbeat.yml that says what is shipped; where to is the owner's."""
    lines = [
        f"# {_HEADER}",
        "# Where to, and with which rights, is yours: output.elasticsearch, with a key from winlogbeat's keystore.",
        "winlogbeat.event_logs:",
    ]
    for channel in CHANNELS:
        lines += [f"  - name: {channel}", "    ignore_older: 72h"]
        # A driver judges by minutes: nothing may wait for a batch to fill.
    lines += ["", "queue.mem.flush.timeout: 1s", ""]
    return "\n".join(lines)


FILES = {"Settings.psd1": settings_psd1, "sysmon.xml": sysmon_xml, "winlogbeat.yml": winlogbeat_yml}
