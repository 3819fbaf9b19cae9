"""What publishers' metadata calls the numbers in an event's head: its task, opcode and keywords.

A table of constants, for the publishers whose events are written here; other names are not known. It must never know a shipper's form.

Sources: winmeta.xml (opcodes and keywords that all publishers share) and the publishers' manifests.
"""

from __future__ import annotations

AUDIT_FAILURE = 0x10000000000000
AUDIT_SUCCESS = 0x20000000000000

_POWERSHELL = "Microsoft-Windows-PowerShell"
_AUDITING = "Microsoft-Windows-Security-Auditing"
_WINRM = "Microsoft-Windows-WinRM"

_OPCODES = {0: "Info", 1: "Start", 2: "Stop", 3: "DCStart", 4: "DCStop", 5: "Extension", 6: "Reply", 7: "Resume", 8: "Suspend", 9: "Send"}
_OWN_OPCODES = {
    (_POWERSHELL, 10): "Open (async)",
    (_POWERSHELL, 15): "On create calls",
    (_POWERSHELL, 20): "To be used when operation is just executing a method",
}

_KEYWORDS = {AUDIT_FAILURE: "Audit Failure", AUDIT_SUCCESS: "Audit Success", 0x80000000000000: "Classic"}
_OWN_KEYWORDS = {(_WINRM, 0x2): "Client", (_WINRM, 0x4): "Server"}

_TASKS = {
    (_AUDITING, 12289): "Security System Extension",
    (_AUDITING, 12544): "Logon",
    (_AUDITING, 12545): "Logoff",
    (_AUDITING, 12548): "Special Logon",
    (_AUDITING, 12810): "Filtering Platform Connection",
    (_AUDITING, 13312): "Process Creation",
    (_AUDITING, 13313): "Process Termination",
    (_AUDITING, 13824): "User Account Management",
    (_AUDITING, 13826): "Security Group Management",
    ("Microsoft-Windows-Sysmon", 1): "Process Create (rule: ProcessCreate)",
    ("Microsoft-Windows-Sysmon", 3): "Network connection detected (rule: NetworkConnect)",
    ("Microsoft-Windows-Sysmon", 5): "Process terminated (rule: ProcessTerminate)",
    ("Microsoft-Windows-Sysmon", 11): "File created (rule: FileCreate)",
    ("Microsoft-Windows-Sysmon", 12): "Registry object added or deleted (rule: RegistryEvent)",
    ("Microsoft-Windows-Sysmon", 13): "Registry value set (rule: RegistryEvent)",
    ("PowerShell", 4): "Engine Lifecycle",
    ("PowerShell", 6): "Provider Lifecycle",
    ("PowerShell", 8): "Pipeline Execution Details",
    (_POWERSHELL, 2): "Execute a Remote Command",
    (_POWERSHELL, 4): "PowerShell Console Startup",
    (_POWERSHELL, 106): "Executing Pipeline",
    (_POWERSHELL, 111): "PowerShell Named Pipe IPC",
    (_WINRM, 9): "Request handling",
}


def task_name(provider: str, task: int) -> str:
    """The task's name; empty where it is not known."""
    return _TASKS.get((provider, task), "")


def opcode_name(provider: str, opcode: int) -> str:
    """The opcode's name; empty where it is not known."""
    return _OPCODES.get(opcode) or _OWN_OPCODES.get((provider, opcode), "")


def keyword_names(provider: str, keywords: int) -> list[str]:
    """The names of the bits that have one."""
    own = [name for (owner, bit), name in _OWN_KEYWORDS.items() if owner == provider and keywords & bit]
    return own + [name for bit, name in _KEYWORDS.items() if keywords & bit]
