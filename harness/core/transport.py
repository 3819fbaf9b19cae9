"""What a session leaves behind by itself, whatever is run in it.

A rule that fires on such an event has detected remoting as such: it gets its credit, labelled, but it is never evidence for the
step's command.
"""

from __future__ import annotations

import re

from harness.core.keys import keys_of, starts_session
from harness.events.endpoint import PREFIX
from harness.model.facts import Event, Identity

# Logon, special logon, group membership, logoff: of the session's connections.
_LOGON_EVENTS = frozenset({4624, 4627, 4634, 4672, 4648})
_ENDPOINT_LOGONS = f"{PREFIX}security"
_ENGINE_EVENTS = frozenset({400, 403, 600, 40961, 40962, 53504, 91})
_SHELL_CREATED = 91  # Microsoft-Windows-WinRM/Operational
# What a client asks for at the start of an interactive session and around each line, as module logging names it.
_FRAME_COMMANDS = frozenset({"get-command", "measure-object", "select-object", "out-default", "prompt", "exit-pssession"})
_INVOKED = re.compile(r"^CommandInvocation\(([^)]+)\)", re.MULTILINE)


def transport_caused(event: Event, identity: Identity) -> bool:
    """Whether the session alone, with nothing run in it, would have left this event."""
    keys = keys_of(event)
    if event.event_id in _LOGON_EVENTS or any(what == "socket" for what, _ in keys.session):
        return True
    if starts_session(event):
        return True
    if event.channel == _ENDPOINT_LOGONS:
        return event.flat.get("event.action") in ("log_on", "log_off")
    if event.event_id == _SHELL_CREATED and "winrm" in event.channel.lower():
        return True
    if event.event_id in _ENGINE_EVENTS and "powershell" in event.channel.lower():
        engines = {guid.lower() for guid in (identity.host_id, identity.runspace_id) if guid}
        return not engines or any(("engine", guid) in keys.claims for guid in engines)
    if event.event_id == 4103:
        commands = [name.lower() for name in _INVOKED.findall(str(event.flat.get("payload", "")))]
        return bool(commands) and all(name in _FRAME_COMMANDS for name in commands)
    if event.event_id == 4104:
        return str(event.flat.get("scriptblocktext", "")).strip().lower() == "prompt"
    return False
