"""Objects of .NET and of the engine that a session shows: versions, the host, the runspace, a path, a process, an entry of a table."""

from __future__ import annotations

import ntpath
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from lab.host.happenings import Process
from lab.host.inventory import Disk
from lab.host.powershell import interaction, operators
from lab.host.powershell.values import (
    stored,
)
from lab.machine import PSObject, PSValue

if TYPE_CHECKING:
    from lab.host.powershell.commands import Session


def version(text: str) -> PSObject:
    """A [version]."""
    parts = [int(part) for part in text.split(".")] + [-1, -1]
    names = ("Major", "Minor", "Build", "Revision")
    return PSObject(type_names=("System.Version", "System.Object"), properties=dict(zip(names, parts, strict=False)), text=text)


def version_table(session: Session) -> dict[str, object]:
    """`$PSVersionTable`."""
    return {
        "PSVersion": version(session.engine.version),
        "PSEdition": "Desktop",
        "PSCompatibleVersions": [version(text) for text in ("1.0", "2.0", "3.0", "4.0", "5.0", "5.1.19041.1")],
        "BuildVersion": version("10.0.19041.1"),
        "CLRVersion": version("4.0.30319.42000"),
        "WSManStackVersion": version("3.0"),
        "PSRemotingProtocolVersion": version("2.3"),
        "SerializationVersion": version("1.1.0.1"),
    }


def host_object(session: Session) -> PSObject:
    """`$Host`, with the ids that the engine's events carry."""
    return PSObject(
        type_names=("System.Management.Automation.Internal.Host.InternalHost", "System.Management.Automation.Host.PSHost", "System.Object"),
        properties={
            "Name": session.engine.host_name,
            "Version": version(session.engine.host_version),
            "InstanceId": session.engine.host_id,
            "CurrentCulture": "en-US",
            "CurrentUICulture": "en-US",
            "IsRunspacePushed": False,
            "UI": interaction.ui_object(),
            "Runspace": runspace_object(session),
        },
        text="System.Management.Automation.Internal.Host.InternalHost",
    )


def runspace_object(session: Session) -> PSObject:
    """`[runspace]::DefaultRunspace`."""
    return PSObject(
        type_names=(
            "System.Management.Automation.Runspaces.LocalRunspace",
            "System.Management.Automation.Runspaces.Runspace",
            "System.Object",
        ),
        properties={
            "Id": 1,
            "Name": "Runspace1",
            "InstanceId": session.engine.runspace_id,
            "Version": version(session.engine.version),
            "RunspaceAvailability": "Busy",
        },
        text="System.Management.Automation.Runspaces.LocalRunspace",
    )


def path_info(path: str) -> PSObject:
    """A PathInfo, as Get-Location gives it."""
    return PSObject(
        type_names=("System.Management.Automation.PathInfo", "System.Object"),
        properties={"Path": path, "ProviderPath": path, "Provider": "Microsoft.PowerShell.Core\\FileSystem", "Drive": "C"},
        text=path,
    )


def process_object(process: Process, *, ended: bool = False) -> PSObject:
    """A System.Diagnostics.Process with what a session may see of it. Sizes and times of a model are made up, the same for a process."""
    name = ntpath.splitext(ntpath.basename(process.path))[0]
    size = 4_000_000 + process.pid * 1_024
    version = process.image.version
    path = process.path if process.pid != 4 else None
    return PSObject(
        type_names=("System.Diagnostics.Process", "System.ComponentModel.Component", "System.MarshalByRefObject", "System.Object"),
        properties={
            "Name": name,
            "Id": process.pid,
            "ProcessName": name,
            "Handles": 60 + process.pid % 700,
            "HandleCount": 60 + process.pid % 700,
            "NPM": 4_096 + process.pid % 64 * 256,
            "PM": size,
            "WS": size + 3_276_800,
            "VM": size + 2_203_318_222_848,
            "CPU": round(process.pid % 97 / 16, 6),
            "SI": 0,
            "SessionId": 0,
            "Path": path,
            "StartTime": process.started,
            "HasExited": ended,
            "Description": process.image.description,
            "Company": process.image.company,
            "Product": process.image.product,
            "FileVersion": version or None,
            "ProductVersion": version.partition(" ")[0] or None,
            "MainWindowTitle": "",
            "MainWindowHandle": 0,
            "Responding": True,
            "PriorityClass": "Normal",
            "BasePriority": 8,
            "MachineName": ".",
            "WorkingSet": size + 3_276_800,
            "WorkingSet64": size + 3_276_800,
            "PrivateMemorySize64": size,
            "TotalProcessorTime": operators.time_span(timedelta(seconds=process.pid % 97 / 16)),
        },
        text=f"System.Diagnostics.Process ({name})",
    )


def table_entry(key: str, value: object) -> PSObject:
    """A DictionaryEntry."""
    return PSObject(
        type_names=("System.Collections.DictionaryEntry", "System.ValueType", "System.Object"),
        properties={"Name": key, "Key": key, "Value": stored(value)},
        text="System.Collections.DictionaryEntry",
    )


def _of(kind: str, properties: dict[str, PSValue], text: str = "") -> PSObject:
    return PSObject(type_names=(kind, "System.Object"), properties=properties, text=text or kind)


def invocation_info(name: str, script: str) -> PSObject:
    """`$MyInvocation`."""
    command: dict[str, PSValue] = {"Name": name, "CommandType": "ExternalScript" if script else "Function"}
    if script:
        command |= {"Path": script, "Definition": script}
    return _of(
        "System.Management.Automation.InvocationInfo",
        {
            "MyCommand": _of("System.Management.Automation.CommandInfo", command, name),
            "InvocationName": name,
            "ScriptName": "",
            "PSScriptRoot": ntpath.dirname(script),
            "PSCommandPath": script,
        },
    )


def script_cmdlet(name: str) -> PSObject:
    """`$PSCmdlet` of an advanced function."""
    command = _of("System.Management.Automation.FunctionInfo", {"Name": name, "CommandType": "Function"}, name)
    return _of(
        "System.Management.Automation.PSScriptCmdlet",
        {
            "ParameterSetName": "__AllParameterSets",
            "MyInvocation": _of("System.Management.Automation.InvocationInfo", {"MyCommand": command}),
        },
    )


def execution_context(session: Session) -> PSObject:
    """`$ExecutionContext`: its language mode and the current location are what scripts ask for."""
    path = _of("System.Management.Automation.PathIntrinsics", {"CurrentLocation": path_info(session.drive or session.location)})
    state = _of("System.Management.Automation.SessionState", {"LanguageMode": "FullLanguage", "Path": path})
    return _of("System.Management.Automation.EngineIntrinsics", {"SessionState": state, "Host": host_object(session)})


def sender_info(session: Session) -> PSObject:
    """`$PSSenderInfo`: who is at the other end of a remote session."""
    account = session.engine.process.logon.account
    name = f"{account.domain}\\{account.name}"
    identity = _of(
        "System.Management.Automation.Remoting.PSIdentity", {"AuthenticationType": "Negotiate", "IsAuthenticated": True, "Name": name}
    )
    user = _of("System.Management.Automation.Remoting.PSPrincipal", {"Identity": identity})
    return _of(
        "System.Management.Automation.Remoting.PSSenderInfo",
        {"UserInfo": user, "ConnectionString": f"http://{session.host.name}:5985/wsman?PSVersion={session.engine.version}"},
        name,
    )


def match_object(found: re.Match[str] | None) -> PSObject:
    """A System.Text.RegularExpressions.Match; an unsuccessful one for None."""
    names = ("System.Text.RegularExpressions.Match", "System.Text.RegularExpressions.Group", "System.Object")
    if found is None:
        return PSObject(type_names=names, properties={"Groups": [], "Success": False, "Index": 0, "Length": 0, "Value": ""})
    texts: list[PSValue] = [
        PSObject(
            type_names=("System.Text.RegularExpressions.Group", "System.Object"),
            properties={"Success": one is not None, "Value": one or "", "Length": len(one or "")},
            text=one or "",
        )
        for one in (found[0], *found.groups())
    ]
    return PSObject(
        type_names=names,
        properties={"Groups": texts, "Success": True, "Index": found.start(), "Length": len(found[0]), "Value": found[0]},
        text=found[0],
    )


def drive_info(disk: Disk) -> PSObject:
    """A System.IO.DriveInfo."""
    ready = bool(disk.size)
    return PSObject(
        type_names=("System.IO.DriveInfo", "System.Object"),
        properties={
            "Name": f"{disk.letter}\\",
            "DriveType": "Fixed" if disk.kind == 3 else "CDRom",
            "DriveFormat": disk.file_system or None,
            "IsReady": ready,
            "AvailableFreeSpace": disk.free if ready else None,
            "TotalFreeSpace": disk.free if ready else None,
            "TotalSize": disk.size if ready else None,
            "RootDirectory": f"{disk.letter}\\",
            "VolumeLabel": disk.label if ready else None,
        },
        text=f"{disk.letter}\\",
    )
