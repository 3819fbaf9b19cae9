"""reg.exe query over a small registry. Nothing can be written."""

from __future__ import annotations

from lab.host.model import Host
from lab.host.programs.base import Run, program

_ROOTS = {"hklm": "HKEY_LOCAL_MACHINE", "hkcu": "HKEY_CURRENT_USER"}
_VERSION = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
_RUN = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run"
_SYSTEM = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet"


def _keys(host: Host) -> dict[str, dict[str, tuple[str, str]]]:
    facts = host.system_info()
    return {
        _VERSION: {
            "ProductName": ("REG_SZ", facts["Caption"].removeprefix("Microsoft ")),
            "CurrentBuild": ("REG_SZ", facts["Build"]),
            "CurrentVersion": ("REG_SZ", "6.3"),
            "SystemRoot": ("REG_SZ", "C:\\Windows"),
            "ProductId": ("REG_SZ", facts["SerialNumber"]),
        },
        _RUN: {"SecurityHealth": ("REG_EXPAND_SZ", "%windir%\\system32\\SecurityHealthSystray.exe")},
        f"{_SYSTEM}\\Control\\ComputerName\\ComputerName": {"ComputerName": ("REG_SZ", host.name)},
        f"{_SYSTEM}\\Services\\Tcpip\\Parameters": {"Hostname": ("REG_SZ", host.name), "Domain": ("REG_SZ", host.domain)},
        f"{_SYSTEM}\\Services\\WinRM": {
            "DisplayName": ("REG_SZ", "@%Systemroot%\\system32\\wsmsvc.dll,-101"),
            "ImagePath": ("REG_EXPAND_SZ", "%SystemRoot%\\System32\\svchost.exe -k NetworkService -p"),
            "Start": ("REG_DWORD", "0x2"),
        },
    }


@program("reg.exe")
def reg(run: Run) -> int:
    """query KEY [/v NAME] [/s]."""
    given = list(run.arguments)
    if len(given) < 2 or given[0].lower() != "query":
        raise run.unmodelled()
    root, _, rest = given[1].rstrip("\\").partition("\\")
    path = _ROOTS.get(root.lower(), root) + (f"\\{rest}" if rest else "")
    options = given[2:]
    value, below = "", False
    while options:
        one = options.pop(0).lower()
        if one == "/v" and options:
            value = options.pop(0)
        elif one == "/s":
            below = True
        else:
            raise run.unmodelled()
    keys = _keys(run.host)
    low = path.lower()
    if not any((known.lower() + "\\").startswith(low + "\\") for known in keys):
        run.complain("ERROR: The system was unable to find the specified registry key or value.")
        return 1
    written = False
    for known, values in keys.items():
        if known.lower() != low and not (below and known.lower().startswith(low + "\\")):
            continue
        held = {name: one for name, one in values.items() if not value or name.lower() == value.lower()}
        if held:
            written = True
            run.write("", known, *(f"    {name}    {kind}    {text}" for name, (kind, text) in held.items()), "")
    children = sorted(
        {known[: len(path)] + "\\" + known[len(path) + 1 :].split("\\")[0] for known in keys if known.lower().startswith(low + "\\")}
    )
    if children and not below and not value:
        written = True
        run.write("", *children)
    if not written:
        run.complain("ERROR: The system was unable to find the specified registry key or value.")
        return 1
    return 0
