"""New objects of types, `[type]::new()` and New-Object: a closed list. Any other type is refused by its name."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from lab.host.powershell import interaction, types
from lab.host.powershell.errors import Terminating, refuse, shown
from lab.host.powershell.values import NetList, as_list, custom, to_int, to_text
from lab.machine import ErrorRecord, PSObject

if TYPE_CHECKING:
    from lab.host.powershell.commands import Session

_PRINCIPAL = "System.Security.Principal."


def invocation_fault(name: str, count: int, message: str, kind: str) -> Terminating:
    """The error of a .NET method that threw: the method's name, its number of arguments and what the inner exception says."""
    return Terminating(
        ErrorRecord(
            message=f'Exception calling "{name}" with "{count}" argument(s): "{message}"',
            exception_type="System.Management.Automation.MethodInvocationException",
            error_id=kind,
            category="NotSpecified",
        )
    )


def new(session: Session, type_name: str, arguments: list[object]) -> object:
    """A new object. Raises `Terminating`, naming the type where it is none of ours."""
    low, count = type_name.lower(), len(arguments)
    if low.startswith("system.collections.generic.list[") or low == "system.collections.arraylist":
        return NetList(as_list(arguments[0]) if count == 1 and isinstance(arguments[0], list) else (), kind=type_name)
    if low.startswith("system.collections.generic.dictionary["):
        return {}
    if (asked := interaction.make(type_name, arguments)) is not None:
        return asked
    match low:
        case "system.object" | "system.management.automation.psobject" | "system.management.automation.pscustomobject" if count == 0:
            return custom({})
        case "system.collections.hashtable" | "system.collections.specialized.ordereddictionary" if count == 0:
            return {}
        case "system.text.stringbuilder":
            text = to_text(arguments[0]) if count else ""
            return PSObject(type_names=("System.Text.StringBuilder", "System.Object"), properties={}, text=text)
        case "system.datetime" if count in (3, 6):
            parts = [to_int(one) for one in arguments] + [0, 0, 0]
            try:
                return datetime(*parts[:6])  # type: ignore[arg-type]  # noqa: DTZ001  a DateTime of kind Unspecified
            except ValueError:
                text = "Year, Month, and Day parameters describe an un-representable DateTime."
                raise invocation_fault(".ctor", count, text, "ConstructorInvokedThrowException") from None
        case "system.timespan" if count in (1, 3, 4):
            if count == 1:
                return types.convert(session, "timespan", arguments[0])
            days, hours, minutes, seconds = ([0] * (4 - count)) + [to_int(one) for one in arguments]
            return types.convert(session, "timespan", (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10_000_000)
        case "system.guid" if count == 1:
            return types.convert(session, "guid", arguments[0])
        case "system.guid" if count == 0:
            return UUID(int=0)
        case "system.version" if count == 1:
            return types.convert(session, "version", arguments[0])
        case "system.version" if count in (2, 3, 4):
            return types.convert(session, "version", ".".join(to_text(one) for one in arguments))
        case "system.uri" if count == 1:
            return types.convert(session, "system.uri", arguments[0])
        case "system.string" if count == 2:
            return to_text(arguments[0]) * to_int(arguments[1], (0, 100_000))
        case "system.exception" | "system.invalidoperationexception" | "system.argumentexception" if count == 1:
            names = tuple(dict.fromkeys((type_name, "System.Exception", "System.Object")))
            return PSObject(type_names=names, properties={"Message": to_text(arguments[0])}, text=f"{type_name}: {to_text(arguments[0])}")
        case "system.security.principal.windowsprincipal" if count == 1:
            identity = arguments[0]
            held = identity if isinstance(identity, PSObject) else None
            return PSObject(type_names=(f"{_PRINCIPAL}WindowsPrincipal", "System.Object"), properties={"Identity": held})
        case "system.security.principal.securityidentifier" if count == 1:
            return types.convert(session, type_name, arguments[0])
        case "system.security.principal.ntaccount" if count in (1, 2):
            return types.convert(session, type_name, "\\".join(to_text(one) for one in arguments))
        case "system.net.webclient":
            return PSObject(type_names=("System.Net.WebClient", "System.Object"), properties={"Headers": None}, text="System.Net.WebClient")
        case "system.net.sockets.tcpclient":
            client = PSObject(type_names=("System.Net.Sockets.TcpClient", "System.Object"), properties={"Connected": False})
            if count == 2:
                connect(session, client, arguments)
            return client
        case "system.random":
            return PSObject(type_names=("System.Random", "System.Object"), properties={}, text="System.Random")
        case _:
            raise refuse(f"a new [{shown(type_name)}]")


def connect(session: Session, client: PSObject, arguments: list[object]) -> None:
    """TcpClient.Connect: only the host's own listeners answer. Raises `Terminating` for everything else."""
    network = session.host.tcpip
    name, port = to_text(arguments[0]), to_int(arguments[1], (0, 65_535))
    address = network.resolve(name)
    if address is None:
        raise invocation_fault("Connect", 2, "No such host is known", "SocketException")
    if not network.accepts(address, port):
        text = f"No connection could be made because the target machine actively refused it {address}:{port}"
        raise invocation_fault("Connect", 2, text, "SocketException")
    client.properties["Connected"] = True
