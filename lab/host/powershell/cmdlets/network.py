"""Cmdlets about addresses and connections [NetTCPIP]. The host has one adapter, one loopback and the WinRM listener."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named
from lab.host.powershell.values import as_list, to_int
from lab.machine import ErrorRecord, PSObject

_MODULE = "NetTCPIP"
_ADDRESS = "Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2/MSFT_NetIPAddress"
_CONNECTION = "Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2/MSFT_NetTCPConnection"
_BASE = ("Microsoft.Management.Infrastructure.CimInstance", "System.Object")


def _none_found(what: str) -> ErrorRecord:
    return ErrorRecord(
        message=f"No matching {what} objects found by CIM query for instances of the ROOT/StandardCimv2/{what} class on the CIM server.",
        exception_type="Microsoft.PowerShell.Cmdletization.Cim.CimJobException",
        error_id="CmdletizationQuery_NotFound",
        category="ObjectNotFound",
        target=what,
    )


@cmdlet(
    "Get-NetIPAddress",
    at(0, "IPAddress", Kind.TEXTS),
    named("AddressFamily", choices=("IPv4", "IPv6")),
    named("InterfaceAlias"),
    *absent("InterfaceIndex", "Type", "PrefixLength", "PrefixOrigin", "CimSession", "AsJob", "IncludeAllCompartments", "PolicyStore"),
    module=_MODULE,
    output=_ADDRESS,
)
def get_net_ip_address(call: Call) -> Iterator[object]:
    """The host's addresses."""
    held = ((call.session.host.ip, "Ethernet0", 12, 24, "Manual"), ("127.0.0.1", "Loopback Pseudo-Interface 1", 1, 8, "WellKnown"))
    wanted = call.texts("IPAddress")
    found = False
    for address, alias, place, prefix, origin in held:
        if wanted and address not in wanted:
            continue
        if call.text("AddressFamily", "IPv4") != "IPv4" or call.text("InterfaceAlias", alias).lower() != alias.lower():
            continue
        found = True
        yield PSObject(
            type_names=(_ADDRESS, *_BASE),
            properties={
                "IPAddress": address,
                "InterfaceIndex": place,
                "InterfaceAlias": alias,
                "AddressFamily": "IPv4",
                "Type": "Unicast",
                "PrefixLength": prefix,
                "PrefixOrigin": origin,
                "SuffixOrigin": origin,
                "AddressState": "Preferred",
                "SkipAsSource": False,
                "PolicyStore": "ActiveStore",
            },
            text=address,
        )
    if not found:
        call.error(_none_found("MSFT_NetIPAddress"))


@cmdlet(
    "Get-NetTCPConnection",
    at(0, "LocalAddress", Kind.TEXTS),
    at(1, "LocalPort", Kind.VALUE),
    named("State", choices=("Listen", "Established")),
    named("OwningProcess", Kind.VALUE),
    *absent("RemoteAddress", "RemotePort", "AppliedSetting", "OffloadState", "CimSession", "AsJob"),
    module=_MODULE,
    output=_CONNECTION,
)
def get_net_tcp_connection(call: Call) -> Iterator[object]:
    """The listeners that the model knows."""
    host = call.session.host
    held = (
        ("0.0.0.0", 135, "0.0.0.0", 0, "Listen", host.dcom_launch.pid),  # noqa: S104  what Windows shows, not an address that is bound
        ("0.0.0.0", 445, "0.0.0.0", 0, "Listen", 4),  # noqa: S104
        ("0.0.0.0", 5985, "0.0.0.0", 0, "Listen", 4),  # noqa: S104
        (host.ip, 139, "0.0.0.0", 0, "Listen", 4),  # noqa: S104
    )
    addresses = call.texts("LocalAddress")
    ports = [to_int(one) for one in as_list(call.value("LocalPort"))]
    owners = [to_int(one) for one in as_list(call.value("OwningProcess"))]
    found = False
    for local, port, remote, remote_port, state, owner in held:
        unfit = (addresses and local not in addresses) or (ports and port not in ports) or (owners and owner not in owners)
        if unfit or call.text("State", state) != state:
            continue
        found = True
        yield PSObject(
            type_names=(_CONNECTION, *_BASE),
            properties={
                "LocalAddress": local,
                "LocalPort": port,
                "RemoteAddress": remote,
                "RemotePort": remote_port,
                "State": state,
                "OwningProcess": owner,
                "CreationTime": host.booted,
            },
            text="MSFT_NetTCPConnection",
        )
    if not found:
        call.error(_none_found("MSFT_NetTCPConnection"))
