"""The keys that an event bears: what in it could tie it to a session, whatever kind of event it is.

Read from field names alone, so that a kind nobody thought of is attributed too. A key is a pair (what, value):

    ("socket", "10.0.0.5:50123")   the client's end of an inbound connection        Security 5156, Sysmon 3
    ("pid", "9036")                a process on the host                             4688, Sysmon, PowerShell/Operational
    ("guid", "{...}")              Sysmon's ProcessGuid, which no reuse of pids confuses
    ("logon", "47876160")          a logon session's LUID                            4624, 4688, Sysmon 1
    ("engine", "9b496bdc-...")     HostId or RunspaceId of a PowerShell engine       400, 403, 600, 4103

The Elastic Endpoint has its own names for these: it writes a process's entity id, its ancestors', and the other end of a connection.

Processes and logons of the system itself (pid 0 and 4, SYSTEM, the service accounts) are everybody's and so nobody's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.events.endpoint import PREFIX, is_endpoint
from harness.model.facts import Event, FlatValue

Key = tuple[str, str]

SESSION_HOSTS = ("wsmprovhost.exe", "winrshost.exe")
REMOTE_ENGINE = "ServerRemoteHost"
_SHARED_PIDS = frozenset({0, 4})
_SHARED_LOGONS = frozenset({0x0, 0x3E4, 0x3E5, 0x3E7})
# A line whose whole value is a GUID: HostId and RunspaceId in any language, but none that stands in a command line.
_ENGINE_ID = re.compile(r"=[ \t]*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_POWERSHELL_CHANNELS = ("windows powershell", "microsoft-windows-powershell/operational", "powershellcore/operational")
_INBOUND = "%%14592"
_INGRESS = ("ingress", "incoming")  # of the Endpoint's versions since 7.16, and before
_OUTBOUND = "%%14593"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What one event bears.

    `claims`: whoever owns one of these owns the event. `grants`: what its owner owns besides from then on. `host_grants`: the
    same, but only where the event tells of the session's own host process (its logon is the session's logon). `session`: the
    keys that only a remote session has; an event bearing some, none of them ours, is another session's.
    """

    claims: frozenset[Key]
    grants: frozenset[Key]
    host_grants: frozenset[Key]
    session: frozenset[Key]
    user: frozenset[str]


def keys_of(event: Event) -> Keys:
    """Read every key that the event bears."""
    if is_endpoint(event.channel):
        return _keys_of_endpoint(event)
    flat = event.flat
    claims: set[Key] = set()
    grants: set[Key] = set()
    host_grants: set[Key] = set()
    session: set[Key] = set()

    new_process = _process(flat, "newprocessid") if "newprocessid" in flat else None
    acting = _process(flat, "processid")
    creates = "newprocessid" in flat or "parentprocessguid" in flat
    if "parentprocessguid" in flat or "parentprocessid" in flat:  # Sysmon 1: ProcessId is the new process
        new_process, acting = acting, _process(flat, "parentprocessid")
    logons = {
        ("logon", str(n))
        for name in ("logonid", "targetlogonid", "subjectlogonid")
        if (n := _number(flat.get(name))) is not None and n not in _SHARED_LOGONS
    }

    claims |= logons
    claims |= _present(new_process, acting, _guid(flat, "processguid"), _guid(flat, "parentprocessguid"), _guid(flat, "sourceprocessguid"))
    if creates:
        born = _present(new_process, _guid(flat, "processguid"))
        grants |= born
        if _base(flat.get("image", flat.get("newprocessname"))) in SESSION_HOSTS:
            session |= born
            host_grants |= logons
        elif _base(flat.get("parentimage", flat.get("parentprocessname"))) in SESSION_HOSTS:
            session |= _present(acting, _guid(flat, "parentprocessguid"))

    socket = _inbound_socket(event)
    if socket is not None:
        claims.add(socket)
        session.add(socket)

    if event.channel.lower() in _POWERSHELL_CHANNELS:
        actor = flat.get("execution_process_id")
        by_pid = _pid(_number(actor)) if actor is not None else None
        text = str(flat.get("contextinfo") or flat.get("data") or flat.get("message") or "")
        engines: set[Key] = {("engine", found.lower()) for found in _ENGINE_ID.findall(text)}
        claims |= _present(by_pid) | engines
        grants |= engines
        if REMOTE_ENGINE in text:
            session |= engines
    return Keys(
        claims=frozenset(claims),
        grants=frozenset(grants),
        host_grants=frozenset(host_grants),
        session=frozenset(session),
        user=_users(event),
    )


def _keys_of_endpoint(event: Event) -> Keys:
    """The same of the Endpoint's. An ancestor's key is claimed: whoever owns the session's host process owns what descends from it."""
    flat = event.flat
    own = _present(_process(flat, "process.pid"), _entity(flat, "process.entity_id"))
    parent = _present(_process(flat, "process.parent.pid"), _entity(flat, "process.parent.entity_id"))
    ancestors = flat.get("process.ext.ancestry")
    line = {("guid", each) for each in ancestors} if isinstance(ancestors, list) else set()
    logons = {
        ("logon", str(number))
        for name in ("process.ext.authentication_id", "target.process.ext.authentication_id")
        if (number := _number(flat.get(name))) is not None and number not in _SHARED_LOGONS
    }
    claims: set[Key] = own | parent | line | logons
    starts = _is_endpoint_start(event)
    is_host = starts and _base(flat.get("process.name")) in SESSION_HOSTS
    session: set[Key] = own if is_host else parent if starts and _base(flat.get("process.parent.name")) in SESSION_HOSTS else set()
    port, address = _number(flat.get("source.port")), flat.get("source.ip")
    if port is not None and isinstance(address, str) and flat.get("network.direction") in _INGRESS:
        client = socket_key(address, port)
        claims, session = claims | {client}, session | {client}
    return Keys(
        claims=frozenset(claims),
        grants=frozenset(own if starts else ()),
        host_grants=frozenset(logons if is_host else ()),
        session=frozenset(session),
        user=_users(event),
    )


def _is_endpoint_start(event: Event) -> bool:
    """Whether the event is the start of a process, and not of what one did."""
    types = event.flat.get("event.type")
    return event.channel == f"{PREFIX}process" and "start" in (types if isinstance(types, list) else [types])


def starts_session(event: Event) -> bool:
    """Whether the event is the creation of a session's host process."""
    flat = event.flat
    if is_endpoint(event.channel):
        return _is_endpoint_start(event) and _base(flat.get("process.name")) in SESSION_HOSTS
    creates = "newprocessid" in flat or "parentprocessguid" in flat
    return creates and _base(flat.get("image", flat.get("newprocessname"))) in SESSION_HOSTS


def socket_key(ip: str, port: int) -> Key:
    """The key of a client's end of a connection."""
    return ("socket", f"{ip}:{port}")


def process_key(pid: int) -> Key:
    """The key of a process."""
    return ("pid", str(pid))


def engine_key(guid: str) -> Key:
    """The key of a PowerShell engine's HostId or RunspaceId."""
    return ("engine", guid.strip("{}").lower())


def bare_user(name: str) -> str:
    """An account's name without its domain, in lower case."""
    return name.rsplit("\\", 1)[-1].split("@", 1)[0].lower()


def _inbound_socket(event: Event) -> Key | None:
    """The client's end, for a connection that this host accepted. An outbound one is the acting process's doing, not a session's."""
    flat = event.flat
    port = _number(flat.get("sourceport"))
    if port is None:
        return None
    if "sourceaddress" in flat and flat.get("direction") == _INBOUND:
        return socket_key(str(flat["sourceaddress"]), port)
    if "sourceip" in flat and str(flat.get("initiated")).lower() == "false":
        return socket_key(str(flat["sourceip"]), port)
    return None


def opened_socket(event: Event) -> Key | None:
    """Our end of a connection that a process of this host opened: on the host at its other end it is a client's."""
    flat = event.flat
    port = _number(flat.get("sourceport"))
    if port is None:
        return None
    if "sourceaddress" in flat and flat.get("direction") == _OUTBOUND:
        return socket_key(str(flat["sourceaddress"]), port)
    if "sourceip" in flat and str(flat.get("initiated")).lower() == "true":
        return socket_key(str(flat["sourceip"]), port)
    return None


_ACCOUNTS = ("user", "subjectusername", "targetusername", "accountname", "user.name", "user.effective.name", "user.target.name")


def _users(event: Event) -> frozenset[str]:
    names = (event.flat.get(name) for name in _ACCOUNTS)
    return frozenset(bare_user(name) for name in names if isinstance(name, str) and name not in ("", "-"))


def _present(*keys: Key | None) -> set[Key]:
    return {key for key in keys if key is not None}


def _process(flat: Mapping[str, FlatValue], name: str) -> Key | None:
    return _pid(_number(flat.get(name)))


def _pid(number: int | None) -> Key | None:
    return None if number is None or number in _SHARED_PIDS else process_key(number)


def _guid(flat: Mapping[str, FlatValue], name: str) -> Key | None:
    value = flat.get(name)
    return ("guid", value.lower()) if isinstance(value, str) and value not in ("", "-") else None


def _entity(flat: Mapping[str, FlatValue], name: str) -> Key | None:
    """An entity id, in which upper and lower case are different letters."""
    value = flat.get(name)
    return ("guid", value) if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    """A number as Windows logs write them: 9036, "9036" or "0x234c"."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    try:
        return int(str(value), 0)
    except ValueError:
        return None


def _base(path: object) -> str:
    return str(path).rsplit("\\", 1)[-1].lower() if path else ""
