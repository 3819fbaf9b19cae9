"""The ECS view of an event: what Elastic's rules read, made from Windows' own fields.

Own work after the published field documentation (Elastic Common Schema, https://www.elastic.co/docs/reference/ecs; Sysmon's own manual;
Microsoft's pages of the security audit events). A field that the document bears already (an ingest pipeline filled it) is kept as it is;
one that the telemetry cannot tell (`network.protocol` of Sysmon 3) is left out, never guessed. This file must not know what a rule asks.

Names are in lower case, as those of the flat view are. Empty values and Windows' "-" are fields that the event lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from harness.events import endpoint
from harness.model.facts import Event, FlatValue

Fields = dict[str, FlatValue]

SYSMON = "microsoft-windows-sysmon/operational"
SECURITY = "security"
POWERSHELL = "microsoft-windows-powershell/operational"
POWERSHELL_CORE = "powershellcore/operational"
POWERSHELL_CLASSIC = "windows powershell"

_ARGUMENTS = 32_768
"""Characters of a command line that are taken apart: Windows allows no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """What ECS calls an event of one kind: `event.category`, `event.type` and `event.action`."""

    category: tuple[str, ...]
    type: tuple[str, ...]
    action: str = ""


def _class(category: str, type: str, action: str = "") -> Class:
    return Class(category=tuple(category.split()), type=tuple(type.split()), action=action)


_SECURITY_CLASSES: Mapping[tuple[str, str, str], tuple[int, ...]] = {
    ("authentication", "start", "logged-in"): (4624,),
    ("authentication", "start", "logon-failed"): (4625,),
    ("authentication", "end", "logged-out"): (4634, 4647),
    ("authentication", "start", "logged-in-explicit"): (4648,),
    ("authentication", "start", "kerberos-authentication-ticket-requested"): (4768,),
    ("authentication", "start", "kerberos-service-ticket-requested"): (4769,),
    ("authentication", "start", "kerberos-service-ticket-renewed"): (4770,),
    ("authentication", "start", "kerberos-preauth-failed"): (4771,),
    ("authentication", "start", "credential-validated"): (4776,),
    ("authentication session", "start", "session-reconnected"): (4778,),
    ("authentication session", "end", "session-disconnected"): (4779,),
    ("process", "start", "created-process"): (4688,),
    ("process", "end", "exited-process"): (4689,),
    ("process", "end", "logging-service-shutdown"): (1100,),
    ("process", "start", "windows-firewall-service-started"): (5024,),
    ("process", "end", "windows-firewall-service-stopped"): (5025,),
    ("driver", "start", "windows-firewall-driver-started"): (5033,),
    ("driver", "end", "windows-firewall-driver-stopped"): (5034,),
    ("network file", "info access", "network-share-object-accessed"): (5140,),
    ("network file", "info access", "network-share-object-access-checked"): (5145,),
    ("registry configuration", "change", "registry-value-modified"): (4657,),
    ("configuration", "access", "authentication-package-loaded"): (4610,),
    ("configuration", "change", "trusted-logon-process-registered"): (4611,),
    ("configuration", "access", "notification-package-loaded"): (4614,),
    ("configuration", "change", "system-time-changed"): (4616,),
    ("configuration", "access", "security-package-loaded"): (4622,),
    ("configuration", "creation", "domain-trust-added"): (4706,),
    ("configuration", "deletion", "domain-trust-removed"): (4707,),
    ("configuration", "change", "kerberos-policy-changed"): (4713,),
    ("configuration", "change", "encrypted-data-recovery-policy-changed"): (4714,),
    ("configuration", "change", "object-audit-policy-changed"): (4715,),
    ("configuration", "change", "trusted-domain-information-changed"): (4716,),
    ("configuration", "change", "domain-policy-changed"): (4739,),
    ("configuration", "change", "windows-firewall-setting-changed"): (4950,),
    ("configuration", "change", "windows-firewall-group-policy-changed"): (4954,),
    ("iam configuration", "admin change", "object-operation-performed"): (4662,),
    ("iam configuration", "admin change", "permissions-changed"): (4670,),
    ("iam configuration", "admin change", "service-installed"): (4697,),
    ("iam configuration", "creation admin", "scheduled-task-created"): (4698,),
    ("iam configuration", "deletion admin", "scheduled-task-deleted"): (4699,),
    ("iam configuration", "change admin", "scheduled-task-enabled"): (4700,),
    ("iam configuration", "change admin", "scheduled-task-disabled"): (4701,),
    ("iam configuration", "change admin", "scheduled-task-updated"): (4702,),
    ("iam configuration", "admin change", "system-security-access-granted"): (4717,),
    ("iam configuration", "admin deletion", "system-security-access-removed"): (4718,),
    ("iam configuration", "admin change", "changed-audit-config"): (4719,),
    ("iam configuration", "admin change", "object-audit-changed"): (4817,),
    ("iam configuration", "admin creation", "user-audit-policy-created"): (4902,),
    ("iam configuration", "admin change", "security-event-source-added"): (4904,),
    ("iam configuration", "admin deletion", "security-event-source-removed"): (4905,),
    ("iam configuration", "admin change", "crash-on-audit-changed"): (4906,),
    ("iam configuration", "admin change", "audit-setting-changed"): (4907,),
    ("iam configuration", "admin change", "special-group-table-changed"): (4908,),
    ("iam configuration", "admin change", "per-user-audit-policy-changed"): (4912,),
    ("iam configuration", "admin change", "directory-service-object-modified"): (5136,),
    ("iam", "admin change", "audit-log-cleared"): (1102,),
    ("iam", "admin", "logging-full"): (1104,),
    ("iam", "admin", "logged-in-special"): (4672,),
    ("iam", "admin group", "logged-in-special"): (4964,),
    ("iam", "admin", "privileged-service-called"): (4673,),
    ("iam", "admin", "privileged-operation"): (4674,),
    ("iam", "user creation", "added-user-account"): (4720,),
    ("iam", "user change", "enabled-user-account"): (4722,),
    ("iam", "user change", "changed-password"): (4723,),
    ("iam", "user change", "reset-password"): (4724,),
    ("iam", "user deletion", "disabled-user-account"): (4725,),
    ("iam", "user deletion", "deleted-user-account"): (4726,),
    ("iam", "user change", "modified-user-account"): (4738,),
    ("iam", "user change", "locked-out-user-account"): (4740,),
    ("iam", "user change", "unlocked-user-account"): (4767,),
    ("iam", "user change", "renamed-user-account"): (4781,),
    ("iam", "user info", "query-existence-of-blank-password"): (4797,),
    ("iam", "user info", "group-membership-enumerated"): (4798,),
    ("iam", "user info", "credential-manager-credentials-were-read"): (5379,),
    ("iam", "user info", "vault-credential-find"): (5380,),
    ("iam", "user info", "vault-credentials-were-read"): (5381, 5382),
    ("iam", "creation admin", "added-computer-account"): (4741,),
    ("iam", "change admin", "changed-computer-account"): (4742,),
    ("iam", "deletion admin", "deleted-computer-account"): (4743,),
    ("iam", "group creation", "added-group-account"): (4727, 4731, 4754),
    ("iam", "group change", "added-member-to-group"): (4728, 4732, 4756),
    ("iam", "group change", "removed-member-from-group"): (4729, 4733, 4757),
    ("iam", "group deletion", "deleted-group-account"): (4730, 4734, 4758),
    ("iam", "group change", "modified-group-account"): (4735, 4737, 4755),
    ("iam", "group change", "type-changed-group-account"): (4764,),
    ("iam", "group creation", "added-distribution-group-account"): (4744, 4749, 4759),
    ("iam", "group change", "changed-distribution-group-account"): (4745, 4750, 4760),
    ("iam", "group change", "added-member-to-distribution-group"): (4746, 4751, 4761),
    ("iam", "group change", "removed-member-from-distribution-group"): (4747, 4752, 4762),
    ("iam", "group deletion", "deleted-distribution-group-account"): (4748, 4753, 4763),
    ("iam", "group info", "user-member-enumerated"): (4799,),
}
"""Category, type and action that winlogbeat's documents give the events of the security log, by these names."""


_ENDPOINT_CLASSES: Mapping[str, tuple[str, str]] = {
    "api": ("api intrusion_detection process", "info start change access"),
    "file": ("file", "creation deletion change access info"),
    "library": ("library driver", "start"),
    "network": ("network", "start end connection protocol info allowed denied"),
    "process": ("process", "start end change info access"),
    "registry": ("registry configuration", "creation deletion change access info"),
    "security": ("authentication session iam configuration process", "start end info creation change deletion admin user group"),
}
"""All that the Endpoint's documents may say of themselves in each of its data sets: which of it holds of one, its own document tells."""


CLASSES: Mapping[tuple[str, int], Class] = {
    (SYSMON, 1): _class("process", "start", "Process Create (rule: ProcessCreate)"),
    (SYSMON, 2): _class("file", "change", "File creation time changed (rule: FileCreateTime)"),
    (SYSMON, 3): _class("network", "start connection protocol", "Network connection detected (rule: NetworkConnect)"),
    (SYSMON, 4): _class("process", "change", "Sysmon service state changed"),
    (SYSMON, 5): _class("process", "end", "Process terminated (rule: ProcessTerminate)"),
    (SYSMON, 6): _class("driver", "start", "Driver loaded (rule: DriverLoad)"),
    (SYSMON, 7): _class("process", "change", "Image loaded (rule: ImageLoad)"),
    (SYSMON, 8): _class("process", "change", "CreateRemoteThread detected (rule: CreateRemoteThread)"),
    (SYSMON, 9): _class("process", "access", "RawAccessRead detected (rule: RawAccessRead)"),
    (SYSMON, 10): _class("process", "access", "Process accessed (rule: ProcessAccess)"),
    (SYSMON, 11): _class("file", "creation", "File created (rule: FileCreate)"),
    (SYSMON, 12): _class("configuration registry", "change", "Registry object added or deleted (rule: RegistryEvent)"),
    (SYSMON, 13): _class("configuration registry", "change", "Registry value set (rule: RegistryEvent)"),
    (SYSMON, 14): _class("configuration registry", "change", "Registry object renamed (rule: RegistryEvent)"),
    (SYSMON, 15): _class("file", "access", "File stream created (rule: FileCreateStreamHash)"),
    (SYSMON, 16): _class("configuration", "change", "Sysmon config state changed"),
    (SYSMON, 17): _class("file", "creation", "Pipe Created (rule: PipeEvent)"),
    (SYSMON, 18): _class("file", "access", "Pipe Connected (rule: PipeEvent)"),
    (SYSMON, 19): _class("process", "info", "WmiEventFilter activity detected (rule: WmiEvent)"),
    (SYSMON, 20): _class("process", "change", "WmiEventConsumer activity detected (rule: WmiEvent)"),
    (SYSMON, 21): _class("process", "access", "WmiEventConsumerToFilter activity detected (rule: WmiEvent)"),
    (SYSMON, 22): _class("network", "connection protocol info", "Dns query (rule: DnsQuery)"),
    (SYSMON, 23): _class("file", "deletion", "File Delete archived (rule: FileDelete)"),
    (SYSMON, 25): _class("process", "change", "Process Tampering (rule: ProcessTampering)"),
    (SYSMON, 26): _class("file", "deletion", "File Delete logged (rule: FileDeleteDetected)"),
    (SYSMON, 27): _class("file", "creation", "File Block Executable (rule: FileBlockExecutable)"),
    (SYSMON, 28): _class("file", "deletion", "File Block Shredding (rule: FileBlockShredding)"),
    (SYSMON, 29): _class("file", "creation", "File Executable Detected (rule: FileExecutableDetected)"),
    **{(SECURITY, number): _class(*names) for names, numbers in _SECURITY_CLASSES.items() for number in numbers},
    **{(POWERSHELL_CLASSIC, number): _class("process", "start") for number in (400,)},
    **{(POWERSHELL_CLASSIC, number): _class("process", "end") for number in (403,)},
    **{(POWERSHELL_CLASSIC, number): _class("process", "info") for number in (600, 800)},
    **{(channel, number): _class("process", "info") for channel in (POWERSHELL, POWERSHELL_CORE) for number in (4103, 4104)},
    **{(channel, 4105): _class("process", "start") for channel in (POWERSHELL, POWERSHELL_CORE)},
    **{(channel, 4106): _class("process", "end") for channel in (POWERSHELL, POWERSHELL_CORE)},
    **{(f"{endpoint.PREFIX}{name}", endpoint.EVENT_ID): _class(*classes) for name, classes in _ENDPOINT_CLASSES.items()},
}
"""By channel in lower case and event id. A kind that is not here (5156 among them) has no category: only `any where` reads it."""


_DATASETS: Mapping[str, str] = {
    SYSMON: "windows.sysmon_operational",
    SECURITY: "system.security",
    POWERSHELL: "windows.powershell_operational",
    POWERSHELL_CLASSIC: "windows.powershell",
    "system": "system.system",
    "application": "system.application",
}
"""The data set under which Elastic Agent ships a channel. Rules except Sysmon's by it from what they leave out for other sensors."""


def ecs_fields(event: Event) -> Mapping[str, FlatValue]:
    """The event's fields under their ECS names, beside `winlog.*` with its own values."""
    flat = {name: value for name, value in event.flat.items() if value not in ("", "-", None)}
    if endpoint.is_endpoint(event.channel):
        return {"host.id": event.host, "host.name": event.host, **flat}
    return _of_record(event) | made(event.channel, event.event_id, flat) | _of_event(event, flat) | dict(_borne(event.raw))


def made(channel: str, event_id: int, flat: Mapping[str, FlatValue]) -> Fields:
    """What follows from an event's kind and its own fields (flat names, empty ones left out) alone: nothing of the Endpoint's."""
    folded = channel.lower()
    if endpoint.is_endpoint(folded):
        return {}
    fields: Fields = {"host.os.type": "windows", "event.kind": "event", "event.code": str(event_id), "winlog.channel": channel}
    if (dataset := _DATASETS.get(folded)) is not None:
        fields |= {"event.dataset": dataset, "data_stream.dataset": dataset}
    if (found := CLASSES.get((folded, event_id))) is not None:
        fields |= {"event.category": list(found.category), "event.type": list(found.type)}
        if found.action:
            fields["event.action"] = found.action
    reader = _READERS.get((folded, event_id)) or _CHANNEL_READERS.get(folded)
    if reader is not None:
        fields |= {name: value for name, value in reader(flat).items() if value not in (None, "", [])}
    return fields


def _of_event(event: Event, flat: Mapping[str, FlatValue]) -> Fields:
    """What the record's own head says. One host logs under two names: both its name and its id are the normalised one."""
    fields: Fields = {
        "@timestamp": event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "host.id": event.host,
        "host.name": event.host,
        "winlog.computer_name": str(flat.get("computer", event.host)),
        "winlog.event_id": str(event.event_id),
    }
    if event.provider:
        fields |= {"event.provider": event.provider, "winlog.provider_name": event.provider}
    if isinstance(flat.get("message"), str):
        fields["message"] = flat["message"]
    if (process := _number(flat, "execution_process_id")) is not None:
        fields["winlog.process.pid"] = process
    fields |= {f"winlog.event_data.{name}": value for name, value in flat.items() if name not in _HEAD}
    return fields | _in_words(event, flat)


def _in_words(event: Event, flat: Mapping[str, FlatValue]) -> Fields:
    """What the security log writes as numbers, in the words that winlogbeat puts beside them."""
    if event.channel.lower() != SECURITY:
        return {}
    fields: Fields = {}
    if (control := _number(flat, "newuacvalue")) is not None:
        fields["winlog.event_data.newuaclist"] = [name for bit, name in _ACCOUNT_CONTROL.items() if control & bit]
    if event.event_id == 4719:
        changes = re.findall(r"%%([0-9]{4})", _text(flat, "auditpolicychanges") or "")
        fields["winlog.event_data.auditpolicychangesdescription"] = [_AUDIT_CHANGES[each] for each in changes if each in _AUDIT_CHANGES]
        subcategory = re.fullmatch(r"%%([0-9]{5})", _text(flat, "subcategoryid") or "")
        fields["winlog.event_data.subcategory"] = _SUBCATEGORIES.get(int(subcategory[1])) if subcategory else None
    return {name: value for name, value in fields.items() if value}


_ACCOUNT_CONTROL: Mapping[int, str] = {
    1 << bit: f"USER_{name}"
    for bit, name in enumerate(
        (
            *("ACCOUNT_DISABLED", "HOME_DIRECTORY_REQUIRED", "PASSWORD_NOT_REQUIRED", "TEMP_DUPLICATE_ACCOUNT", "NORMAL_ACCOUNT"),
            *("MNS_LOGON_ACCOUNT", "INTERDOMAIN_TRUST_ACCOUNT", "WORKSTATION_TRUST_ACCOUNT", "SERVER_TRUST_ACCOUNT"),
            *("DONT_EXPIRE_PASSWORD", "ACCOUNT_AUTO_LOCKED", "ENCRYPTED_TEXT_PASSWORD_ALLOWED", "SMARTCARD_REQUIRED"),
            *("TRUSTED_FOR_DELEGATION", "NOT_DELEGATED", "USE_DES_KEY_ONLY", "DONT_REQUIRE_PREAUTH", "PASSWORD_EXPIRED"),
            *("TRUSTED_TO_AUTHENTICATE_FOR_DELEGATION", "NO_AUTH_DATA_REQUIRED", "PARTIAL_SECRETS_ACCOUNT", "USE_AES_KEYS"),
        )
    )
}
"""The bits of an account's control value, as [MS-SAMR] 2.2.1.12 names them."""

_AUDIT_CHANGES = {"8448": "Success removed", "8449": "Success Added", "8450": "Failure removed", "8451": "Failure added"}

_SUBCATEGORIES: Mapping[int, str] = {
    first + number: name
    for first, names in {
        12288: ("Security State Change", "Security System Extension", "System Integrity", "IPsec Driver", "Other System Events"),
        12544: ("Logon", "Logoff", "Account Lockout", "IPsec Main Mode", "Special Logon", "IPsec Quick Mode", "IPsec Extended Mode"),
        12551: ("Other Logon/Logoff Events", "Network Policy Server", "User / Device Claims", "Group Membership"),
        12800: ("File System", "Registry", "Kernel Object", "SAM", "Other Object Access Events", "Certification Services"),
        12806: ("Application Generated", "Handle Manipulation", "File Share", "Filtering Platform Packet Drop"),
        12810: ("Filtering Platform Connection", "Detailed File Share", "Removable Storage", "Central Policy Staging"),
        13056: ("Sensitive Privilege Use", "Non Sensitive Privilege Use", "Other Privilege Use Events"),
        13312: ("Process Creation", "Process Termination", "DPAPI Activity", "RPC Events", "Plug and Play Events"),
        13317: ("Token Right Adjusted Events",),
        13568: ("Audit Policy Change", "Authentication Policy Change", "Authorization Policy Change"),
        13571: ("MPSSVC Rule-Level Policy Change", "Filtering Platform Policy Change", "Other Policy Change Events"),
        13824: ("User Account Management", "Computer Account Management", "Security Group Management"),
        13827: ("Distribution Group Management", "Application Group Management", "Other Account Management Events"),
        14080: ("Directory Service Access", "Directory Service Changes", "Directory Service Replication"),
        14083: ("Detailed Directory Service Replication",),
        14336: ("Credential Validation", "Kerberos Service Ticket Operations", "Other Account Logon Events"),
        14339: ("Kerberos Authentication Service",),
    }.items()
    for number, name in enumerate(names)
}
"""The audit subcategories by the number that a record of the security log bears as its task, and 4719 names them by."""

_BY_ACCOUNT = frozenset([SYSMON, POWERSHELL, POWERSHELL_CORE])
"""The channels whose records' own account is the event's user: the others name theirs among the event's data."""

_AUDIT_FAILURE, _AUDIT_SUCCESS = 1 << 52, 1 << 53
"""The reserved keyword bits of winmeta.xml."""


def _of_record(event: Event) -> Fields:
    """What a record's head alone tells, in whichever form it was shipped: its account, how it ended, and its task as the action.

    A kind's own action comes before the task, which winlogbeat sends where no pipeline knew better.
    """
    raw = event.raw
    winlog, system = _inner(raw, "winlog"), _inner(_inner(raw, "Event"), "System")
    account = (
        _inner(winlog, "user").get("identifier") or _inner(_inner(system, "Security"), "#attributes").get("UserID") or raw.get("UserID")
    )
    fields: Fields = {}
    if isinstance(account, str) and event.channel.lower() in _BY_ACCOUNT:
        fields["user.id"] = account
    number = str(system.get("Task", raw.get("Task")))
    named = _SUBCATEGORIES.get(int(number)) if number.isdecimal() and event.channel.lower() == SECURITY else None
    if (task := winlog.get("task") or raw.get("Category") or named) and isinstance(task, str):
        fields["event.action"] = task
    outcome = {"AUDIT_SUCCESS": "success", "AUDIT_FAILURE": "failure"}.get(str(raw.get("EventType"))) or _outcome(
        system.get("Keywords", raw.get("Keywords"))
    )
    return fields | ({"event.outcome": outcome} if outcome is not None else {})


def _inner(part: Mapping[str, object], name: str) -> Mapping[str, object]:
    inner = part.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _outcome(keywords: object) -> str | None:
    """How an audited action ended, by the keywords of its record: a number, which some shippers write as a signed one of 64 bits."""
    try:
        bits = int(keywords, 0) if isinstance(keywords, str) else keywords
    except ValueError:
        return None
    if not isinstance(bits, int):
        return None
    return "failure" if bits & _AUDIT_FAILURE else "success" if bits & _AUDIT_SUCCESS else None


_HEAD = frozenset(["channel", "eventid", "provider_name", "computer", "hostname", "message", "execution_process_id", "data"])


_OURS = frozenset(["event.category", "event.type"])
"""What is never taken from a Windows event's document: the class, which must be known from its kind alone (rules are indexed by it)."""


def _borne(raw: Mapping[str, object]) -> Iterator[tuple[str, FlatValue]]:
    """The ECS fields that a winlogbeat or Elastic Agent document bears itself; dotted and nested names are the same."""
    if not isinstance(raw.get("winlog"), Mapping):
        return
    winlog = _inner(raw, "winlog")
    for key, value in endpoint.leaves(raw):
        if key == "@timestamp" or key in _OURS or key.startswith("winlog.event_data."):  # the event's own
            continue
        if key == "event.action" and value == winlog.get("task"):  # as the shipper sent it: no pipeline saw it
            continue
        yield key, value


# --- values ---------------------------------------------------------------------------------------------------------------


def _text(flat: Mapping[str, FlatValue], name: str) -> str | None:
    value = flat.get(name)
    return None if value is None or isinstance(value, list) else str(value)


def _number(flat: Mapping[str, FlatValue], name: str) -> int | None:
    """A whole number; the security log writes process ids in hexadecimal, Sysmon in decimal."""
    text = _text(flat, name) or ""
    if re.fullmatch(r"[0-9]{1,10}", text):
        return int(text)
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text) else None


def _address(flat: Mapping[str, FlatValue], name: str) -> str | None:
    """An address in its usual form, one of IPv4 also where a dual-stack socket logged it as IPv6; None where it is none ("LOCAL")."""
    text = _text(flat, name)
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


def base_name(path: str) -> str:
    """What stands after a path's last backslash."""
    return path.rpartition("\\")[2]


def arguments(command_line: str) -> list[str]:
    """A command line taken apart as Windows programs do (CommandLineToArgvW's rules), the program first."""
    text = command_line[:_ARGUMENTS]
    found: list[str] = []
    current: list[str] = []
    quoted = begun = False
    at = 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            end = at
            while end < len(text) and text[end] == "\\":
                end += 1
            slashes, at, begun = end - at, end, True
            if at < len(text) and text[at] == '"':
                current.append("\\" * (slashes // 2))
                if slashes % 2:
                    current.append('"')
                    at += 1
            else:
                current.append("\\" * slashes)
            continue
        if character == '"':
            quoted, begun = not quoted, True
        elif character in " \t" and not quoted:
            if begun:
                found.append("".join(current))
                current, begun = [], False
        else:
            current.append(character)
            begun = True
        at += 1
    if begun:
        found.append("".join(current))
    return found


# Each of these names all fields that it can make, with None where they are not there: what a kind of event may have is read off them.


def _process(prefix: str, path: str | None, pid: int | None) -> Fields:
    return {f"{prefix}.pid": pid, f"{prefix}.executable": path, f"{prefix}.name": base_name(path) if path else None}


def _command_line(prefix: str, command_line: str | None) -> Fields:
    args = arguments(command_line) if command_line else None
    return {
        f"{prefix}.command_line": command_line,
        f"{prefix}.args": args,
        f"{prefix}.args_count": len(args) if args is not None else None,
    }


def _user(account: str | None) -> Fields:
    domain, separator, name = (account or "").rpartition("\\")
    return {"user.domain": domain if separator else None, "user.name": name}


def _file(path: str | None) -> Fields:
    if not path:
        return dict.fromkeys(("file.path", "file.name", "file.directory", "file.extension"))
    directory, _, name = path.rpartition("\\")
    _, dot, extension = name.rpartition(".")
    return {"file.path": path, "file.name": name, "file.directory": directory, "file.extension": extension if dot else None}


# --- readers, one a kind of event -----------------------------------------------------------------------------------------

_HASHES = ("md5", "sha1", "sha256", "imphash")


def _sysmon(flat: Mapping[str, FlatValue]) -> Fields:
    """What every Sysmon event says of the process that it is about."""
    image = _text(flat, "image") or _text(flat, "sourceimage")
    pid = _number(flat, "processid") or _number(flat, "sourceprocessid")
    entity = _text(flat, "processguid") or _text(flat, "sourceprocessguid")
    account = _user(_text(flat, "user")) | {"user.id": None}  # the record's own account
    return _process("process", image, pid) | {"process.entity_id": entity} | account


def _sysmon_process(flat: Mapping[str, FlatValue]) -> Fields:
    fields = _sysmon(flat) | _command_line("process", _text(flat, "commandline"))
    fields |= _process("process.parent", _text(flat, "parentimage"), _number(flat, "parentprocessid"))
    fields |= _command_line("process.parent", _text(flat, "parentcommandline"))
    fields["process.parent.entity_id"] = _text(flat, "parentprocessguid")
    fields["process.working_directory"] = _text(flat, "currentdirectory")
    fields["winlog.logon.id"] = _text(flat, "logonid")
    return fields | _image_details("process", flat)


def _image_details(prefix: str, flat: Mapping[str, FlatValue]) -> Fields:
    fields: Fields = {
        f"{prefix}.pe.original_file_name": _text(flat, "originalfilename"),
        f"{prefix}.pe.company": _text(flat, "company"),
        f"{prefix}.pe.description": _text(flat, "description"),
        f"{prefix}.pe.product": _text(flat, "product"),
        f"{prefix}.pe.file_version": _text(flat, "fileversion"),
    }
    for part in (_text(flat, "hashes") or "").split(","):
        kind, separator, value = part.partition("=")
        if separator and kind.lower() in _HASHES:
            place = "pe.imphash" if kind.lower() == "imphash" else f"hash.{kind.lower()}"
            fields[f"{prefix}.{place}"] = value.lower()
    return fields


def _sysmon_image(flat: Mapping[str, FlatValue]) -> Fields:
    loaded = _text(flat, "imageloaded")
    fields = _sysmon(flat) | _file(loaded) | _image_details("file", flat)
    signed = _text(flat, "signed")
    if signed is not None:
        valid = (_text(flat, "signaturestatus") or "").lower() == "valid"
        fields |= {"file.code_signature.exists": signed.lower() == "true", "file.code_signature.valid": valid}
        fields |= {
            "file.code_signature.status": _text(flat, "signaturestatus"),
            "file.code_signature.subject_name": _text(flat, "signature"),
        }
    return fields


def _sysmon_network(flat: Mapping[str, FlatValue]) -> Fields:
    initiated = (_text(flat, "initiated") or "").lower()
    transport = (_text(flat, "protocol") or "").lower()
    return _sysmon(flat) | {
        "network.direction": {"true": "egress", "false": "ingress"}.get(initiated),
        "network.transport": transport,
        **_ends(flat, ("sourceip", "sourceport"), ("destinationip", "destinationport")),
        "source.domain": _text(flat, "sourcehostname"),
        "destination.domain": _text(flat, "destinationhostname"),
    }


def _ends(flat: Mapping[str, FlatValue], source: tuple[str, str], destination: tuple[str, str]) -> Fields:
    fields: Fields = {}
    for end, (ip, port) in (("source", source), ("destination", destination)):
        fields |= {f"{end}.ip": _address(flat, ip), f"{end}.port": _number(flat, port)}
    both = fields["destination.ip"] or fields["source.ip"]
    fields["network.type"] = None if both is None else "ipv6" if ":" in str(both) else "ipv4"
    return fields


def _sysmon_file(flat: Mapping[str, FlatValue]) -> Fields:
    return _sysmon(flat) | _file(_text(flat, "targetfilename"))


def _sysmon_pipe(flat: Mapping[str, FlatValue]) -> Fields:
    return _sysmon(flat) | {"file.name": _text(flat, "pipename")}


def _sysmon_driver(flat: Mapping[str, FlatValue]) -> Fields:
    return _file(_text(flat, "imageloaded")) | _image_details("file", flat)


def _sysmon_dns(flat: Mapping[str, FlatValue]) -> Fields:
    results = [part.strip() for part in (_text(flat, "queryresults") or "").split(";")]
    addresses = [str(address) for part in results if (address := _address({"ip": part}, "ip"))]
    return _sysmon(flat) | {"network.protocol": "dns", "dns.question.name": _text(flat, "queryname"), "dns.resolved_ip": addresses}


def _sysmon_registry(flat: Mapping[str, FlatValue]) -> Fields:
    """`TargetObject` is hive, key and value in one path; `Details` a value with its type before it, where it is a number."""
    path = _text(flat, "targetobject")
    fields = _sysmon(flat) | dict.fromkeys(("registry.key", "registry.value", "registry.data.type", "registry.data.strings"))
    fields["registry.path"] = path
    parts = (path or "").split("\\")
    fields["registry.hive"] = parts[0]
    if len(parts) > 2:
        fields |= {"registry.key": "\\".join(parts[1:-1]), "registry.value": parts[-1]}
    details = _text(flat, "details") or ""
    if number := re.fullmatch(r"(DWORD|QWORD) \((0x[0-9a-fA-F]{1,8}(?:-0x[0-9a-fA-F]{1,8})?)\)", details):
        digits = "".join(part.removeprefix("0x") for part in number[2].split("-"))
        fields |= {"registry.data.type": f"SZ_{number[1]}", "registry.data.strings": [str(int(digits, 16))]}
    elif details == "Binary Data":
        fields["registry.data.type"] = "REG_BINARY"
    elif details:
        fields |= {"registry.data.type": "SZ", "registry.data.strings": [details]}
    return fields


def _security(flat: Mapping[str, FlatValue]) -> Fields:
    """The process, the account and the other end that a security event names, whichever it names."""
    return _process("process", _text(flat, "processname"), _number(flat, "processid")) | _account(flat, "subject") | _source(flat)


def _account(flat: Mapping[str, FlatValue], whose: str) -> Fields:
    return {
        "user.name": _text(flat, f"{whose}username"),
        "user.domain": _text(flat, f"{whose}domainname"),
        "user.id": _text(flat, f"{whose}usersid") or _text(flat, f"{whose}sid"),
        "winlog.logon.id": _text(flat, f"{whose}logonid"),
    }


def _security_process(flat: Mapping[str, FlatValue]) -> Fields:
    """4688: the creator is `ProcessId` and `ParentProcessName`; the new process runs as the target where one is named."""
    fields = _process("process", _text(flat, "newprocessname"), _number(flat, "newprocessid"))
    fields |= _command_line("process", _text(flat, "commandline"))
    fields |= _process("process.parent", _text(flat, "parentprocessname"), _number(flat, "processid"))
    return fields | _account(flat, "target" if "targetusername" in flat else "subject")


def _security_logon(flat: Mapping[str, FlatValue]) -> Fields:
    kind = _LOGON_TYPES.get(_number(flat, "logontype") or -1)
    return (
        _process("process", _text(flat, "processname"), _number(flat, "processid"))
        | _account(flat, "target")
        | {"winlog.logon.type": kind, "source.domain": _text(flat, "workstationname"), **_source(flat)}
    )


def _security_logoff(flat: Mapping[str, FlatValue]) -> Fields:
    return _account(flat, "target") | {"winlog.logon.type": _LOGON_TYPES.get(_number(flat, "logontype") or -1)}


def _security_explicit_logon(flat: Mapping[str, FlatValue]) -> Fields:
    """4648: the subject uses the target's credentials."""
    return _security(flat) | _named("user.effective", flat, "target")


def _security_user(flat: Mapping[str, FlatValue]) -> Fields:
    """What was done to an account by another."""
    return _security(flat) | _named("user.target", flat, "target")


def _security_group(flat: Mapping[str, FlatValue]) -> Fields:
    """What was done to a group, or to a member of it, whom the event names by its distinguished name."""
    member = re.match(r"[Cc][Nn]=((?:[^,\\\\]|\\\\.)+)", _text(flat, "membername") or "")
    target: Fields = {"user.target.name": member[1] if member else None, "user.target.id": _text(flat, "membersid")}
    return _security(flat) | _named("group", flat, "target") | target


def _named(prefix: str, flat: Mapping[str, FlatValue], whose: str) -> Fields:
    return {f"{prefix}.{name.removeprefix('user.')}": value for name, value in _account(flat, whose).items() if name.startswith("user.")}


def _security_share(flat: Mapping[str, FlatValue]) -> Fields:
    """5140, 5145: the share's own path, and that of what was opened below it."""
    name, directory, share = (_text(flat, part) for part in ("relativetargetname", "sharelocalpath", "sharename"))
    _, dot, extension = (name or "").rpartition(".")
    return _security(flat) | {
        "file.name": name,
        "file.directory": directory,
        "file.path": f"{directory}\\{name}" if name and directory else None,
        "file.target_path": f"{share}\\{name}" if name and share else None,
        "file.extension": extension if dot else None,
    }


def _security_registry(flat: Mapping[str, FlatValue]) -> Fields:
    """4657: the key by its object name (\\REGISTRY\\MACHINE\\...), the value's name and its new content beside it."""
    key, value, content = (_text(flat, part) for part in ("objectname", "objectvaluename", "newvalue"))
    path = f"{key}\\{value}" if key and value else key
    return _security(flat) | {
        "registry.path": path,
        "registry.key": key,
        "registry.value": value,
        "registry.data.strings": [content] if content is not None else None,
    }


def _source(flat: Mapping[str, FlatValue]) -> Fields:
    return {"source.ip": _address(flat, "ipaddress"), "source.port": _number(flat, "ipport")}


_LOGON_TYPES = {
    2: "Interactive",
    3: "Network",
    4: "Batch",
    5: "Service",
    7: "Unlock",
    8: "NetworkCleartext",
    9: "NewCredentials",
    10: "RemoteInteractive",
    11: "CachedInteractive",
}


def _security_kerberos(flat: Mapping[str, FlatValue]) -> Fields:
    return _account(flat, "target") | _source(flat)


def _security_connection(flat: Mapping[str, FlatValue]) -> Fields:
    """5156. `Application` is a path from the device's name; the layer says the same as the direction, so it is not read."""
    transport = {6: "tcp", 17: "udp"}.get(_number(flat, "protocol") or 0)
    return _process("process", _text(flat, "application"), _number(flat, "processid")) | {
        "network.direction": {"%%14592": "ingress", "%%14593": "egress"}.get(_text(flat, "direction") or ""),
        "network.transport": transport,
        **_ends(flat, ("sourceaddress", "sourceport"), ("destaddress", "destport")),
    }


def _classic_powershell(flat: Mapping[str, FlatValue]) -> Fields:
    """The engine's life cycle: its details are lines of `Name=value` in the event's unnamed strings."""
    details = dict(re.findall(r"^[ \t]*(\w+)=(.*?)\r?$", _text(flat, "data") or "", re.MULTILINE))
    return _command_line("process", details.get("HostApplication")) | {
        "process.entity_id": details.get("HostId"),
        "process.title": details.get("HostName"),
        "powershell.engine.version": details.get("EngineVersion"),
        "powershell.runspace_id": details.get("RunspaceId"),
        "powershell.pipeline_id": details.get("PipelineId"),
    }


def _powershell(flat: Mapping[str, FlatValue]) -> Fields:
    context = dict(re.findall(r"^[ \t]*(\w[\w ]*?) =[ \t]*(\S[^\r\n]*)", _text(flat, "contextinfo") or "", re.MULTILINE))
    return {
        **_file(_text(flat, "path")),
        **_command_line("process", context.get("Host Application")),
        **_user(context.get("User")),
        "user.id": None,  # the record's own account
        "process.entity_id": context.get("Host ID"),
        "process.title": context.get("Host Name"),
        "powershell.engine.version": context.get("Engine Version"),
        "powershell.runspace_id": context.get("Runspace ID"),
        "powershell.pipeline_id": context.get("Pipeline ID"),
        "powershell.command.name": context.get("Command Name"),
        "powershell.command.path": context.get("Command Path"),
        "powershell.command.type": context.get("Command Type"),
        "powershell.file.script_block_text": _text(flat, "scriptblocktext"),
        "powershell.file.script_block_id": _text(flat, "scriptblockid"),
        "powershell.sequence": _number(flat, "messagenumber"),
        "powershell.total": _number(flat, "messagetotal"),
    }


_Reader = Callable[[Mapping[str, FlatValue]], Fields]

_READERS: Mapping[tuple[str, int], _Reader] = {
    (SYSMON, 1): _sysmon_process,
    (SYSMON, 3): _sysmon_network,
    (SYSMON, 6): _sysmon_driver,
    (SYSMON, 7): _sysmon_image,
    (SYSMON, 22): _sysmon_dns,
    **{(SYSMON, number): _sysmon_file for number in (2, 11, 15, 23, 26, 27, 28, 29)},
    **{(SYSMON, number): _sysmon_registry for number in (12, 13, 14)},
    **{(SYSMON, number): _sysmon_pipe for number in (17, 18)},
    **{(SECURITY, number): _security_logon for number in (4624, 4625)},
    **{(SECURITY, number): _security_logoff for number in (4634, 4647)},
    (SECURITY, 4648): _security_explicit_logon,
    (SECURITY, 4657): _security_registry,
    **{(SECURITY, number): _security_user for number in (4720, 4722, 4723, 4724, 4725, 4726, 4738, 4740, 4767, 4781, 4797, 4798)},
    **{(SECURITY, number): _security_group for number in (*range(4727, 4738), *range(4744, 4765), 4799)},
    **{(SECURITY, number): _security_share for number in (5140, 5145)},
    **{(SECURITY, number): _security_kerberos for number in (4768, 4769, 4770, 4771)},
    (SECURITY, 4688): _security_process,
    (SECURITY, 5156): _security_connection,
}

_CHANNEL_READERS: Mapping[str, _Reader] = {
    SYSMON: _sysmon,
    SECURITY: _security,
    POWERSHELL_CLASSIC: _classic_powershell,
    POWERSHELL: _powershell,
    POWERSHELL_CORE: _powershell,
}


@lru_cache(maxsize=4_096)
def fields_made(channel: str, event_id: int) -> frozenset[str]:
    """The ECS fields that can be made of an event of this kind's own, beside those that every event has."""
    folded = channel.lower()
    reader = _READERS.get((folded, event_id)) or _CHANNEL_READERS.get(folded)
    return frozenset(reader({})) if reader is not None else frozenset()


_MADE = frozenset(name for channel, event_id in CLASSES for name in fields_made(channel, event_id))


def can_bear(channel: str, event_id: int, name: str) -> bool:
    """Whether an event of this kind may have this ECS field, as far as that is known here: a field that is made of other kinds alone it
    has not (a PowerShell engine's start names no parent process); of one that is made of none, a document may bear it itself."""
    if endpoint.is_endpoint(channel):
        return True
    if name in _OURS:
        return (channel.lower(), event_id) in CLASSES
    return name not in _MADE or name in fields_made(channel, event_id)
