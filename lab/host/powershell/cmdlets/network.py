"""Cmdlets about addresses, sockets, names and the firewall [NetTCPIP, NetAdapter, DnsClient, NetSecurity, SmbShare].

The host has one adapter, one loopback, the lab's own names, and no way out: what would leave the lab fails as on a machine without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.host.network import ALIAS, DESCRIPTION, INTERFACE, LOOPBACK_INTERFACE
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, shown
from lab.host.powershell.values import as_list, like, to_int, to_text
from lab.machine import ErrorRecord, PSObject, PSValue

_MODULE = "NetTCPIP"
_ROOT = "Microsoft.Management.Infrastructure.CimInstance"
_LOOPBACK = "Loopback Pseudo-Interface 1"
_FAR = absent("CimSession", "AsJob", "IncludeAllCompartments", "PolicyStore", "ThrottleLimit")


def _kind(name: str) -> str:
    return f"{_ROOT}#ROOT/StandardCimv2/{name}"


def _object(name: str, properties: dict[str, PSValue], text: str = "") -> PSObject:
    return PSObject(type_names=(_kind(name), _ROOT, "System.Object"), properties=properties, text=text or name)


def _none_found(call: Call, what: str, where: Sequence[str]) -> None:
    """The error of a CDXML cmdlet: by property where one was asked for, else for the class."""
    given = next((name for name in where if call.given(name)), "")
    if given:
        text = (
            f"No {what} objects found with property '{given}' equal to '{call.text(given)}'.  Verify the value of the property and retry."
        )
        error_id, target = f"CmdletizationQuery_NotFound_{given},{call.spec.name}", call.text(given)
    else:
        text = f"No matching {what} objects found by CIM query for instances of the ROOT/StandardCimv2/{what} class on the CIM server."
        error_id, target = f"CmdletizationQuery_NotFound,{call.spec.name}", what
    call.error(
        ErrorRecord(
            message=text,
            exception_type="Microsoft.PowerShell.Cmdletization.Cim.CimJobException",
            error_id=error_id,
            category="ObjectNotFound",
            target=target,
        )
    )


def _filtered(call: Call, rows: Sequence[PSObject], what: str, keys: Sequence[str]) -> Iterator[PSObject]:
    """The objects whose properties fit the parameters of the same names; none is an error."""
    found = False
    for row in rows:
        fits = True
        for key in keys:
            if call.given(key):
                held = row.properties.get(key)
                fits = fits and any(like(to_text(held), to_text(one)) for one in as_list(call.value(key)))
        if fits:
            found = True
            yield row
    if not found:
        _none_found(call, what, keys)


@cmdlet(
    "Get-NetIPAddress",
    at(0, "IPAddress", Kind.TEXTS, "LocalAddress"),
    named("AddressFamily", Kind.TEXTS),
    named("InterfaceAlias", Kind.TEXTS, "ifAlias"),
    named("InterfaceIndex", Kind.VALUE, "ifIndex"),
    named("PrefixLength", Kind.VALUE),
    named("PrefixOrigin", Kind.TEXTS),
    named("AddressState", Kind.TEXTS),
    named("Type", Kind.TEXTS),
    *_FAR,
    module=_MODULE,
    output=_kind("MSFT_NetIPAddress"),
)
def get_net_ip_address(call: Call) -> Iterator[object]:
    """The host's addresses."""
    network = call.session.host.tcpip
    held = (
        (f"{network.link_local}%{INTERFACE}", ALIAS, INTERFACE, 64, "WellKnown", "Link", "IPv6"),
        ("::1", _LOOPBACK, LOOPBACK_INTERFACE, 128, "WellKnown", "WellKnown", "IPv6"),
        (network.ip, ALIAS, INTERFACE, 24, "Manual", "Manual", "IPv4"),
        ("127.0.0.1", _LOOPBACK, LOOPBACK_INTERFACE, 8, "WellKnown", "WellKnown", "IPv4"),
    )
    rows = [
        _object(
            "MSFT_NetIPAddress",
            {
                "IPAddress": address,
                "InterfaceIndex": place,
                "InterfaceAlias": alias,
                "AddressFamily": family,
                "Type": "Unicast",
                "PrefixLength": prefix,
                "PrefixOrigin": origin,
                "SuffixOrigin": suffix,
                "AddressState": "Preferred",
                "ValidLifetime": None,
                "PreferredLifetime": None,
                "SkipAsSource": False,
                "PolicyStore": "ActiveStore",
            },
            address,
        )
        for address, alias, place, prefix, origin, suffix, family in held
    ]
    keys = ("IPAddress", "AddressFamily", "InterfaceAlias", "InterfaceIndex", "PrefixLength", "PrefixOrigin", "AddressState", "Type")
    yield from _filtered(call, rows, "MSFT_NetIPAddress", keys)


@cmdlet(
    "Get-NetIPConfiguration",
    at(0, "InterfaceAlias", Kind.TEXT, "ifAlias"),
    named("InterfaceIndex", Kind.INT, "ifIndex"),
    switch("All"),
    switch("Detailed"),
    *absent("CimSession", "ComputerName"),
    module="NetTCPIP",
)
def get_net_ip_configuration(call: Call) -> Iterator[object]:
    """The adapter with its addresses, gateway and name servers."""
    network = call.session.host.tcpip
    if not like(ALIAS, call.text("InterfaceAlias", "*")) or call.number("InterfaceIndex", INTERFACE) != INTERFACE:
        _none_found(call, "MSFT_NetIPInterface", ("InterfaceAlias", "InterfaceIndex"))
        return
    address = _object("MSFT_NetIPAddress", {"IPAddress": network.ip, "PrefixLength": 24, "InterfaceAlias": ALIAS}, network.ip)
    gateway = _object("MSFT_NetRoute", {"NextHop": network.gateway, "DestinationPrefix": "0.0.0.0/0"}, network.gateway)
    server = _object("MSFT_DNSClientServerAddress", {"ServerAddresses": [network.gateway], "AddressFamily": 2}, network.gateway)
    yield PSObject(
        type_names=("NetIPConfiguration", "System.Object"),
        properties={
            "InterfaceAlias": ALIAS,
            "InterfaceIndex": INTERFACE,
            "InterfaceDescription": DESCRIPTION,
            "NetProfile": _object("MSFT_NetConnectionProfile", {"Name": network.domain or "Network"}, network.domain or "Network"),
            "IPv4Address": [address],
            "IPv6DefaultGateway": None,
            "IPv4DefaultGateway": [gateway],
            "DNSServer": [server],
        },
        text="NetIPConfiguration",
    )


@cmdlet(
    "Get-NetTCPConnection",
    at(0, "LocalAddress", Kind.TEXTS, "IPAddress"),
    at(1, "LocalPort", Kind.VALUE),
    named("RemoteAddress", Kind.TEXTS),
    named("RemotePort", Kind.VALUE),
    named("State", Kind.TEXTS),
    named("OwningProcess", Kind.VALUE),
    named("AppliedSetting", Kind.TEXTS),
    named("OffloadState", Kind.TEXTS),
    *_FAR,
    module=_MODULE,
    output=_kind("MSFT_NetTCPConnection"),
)
def get_net_tcp_connection(call: Call) -> Iterator[object]:
    """The TCP sockets."""
    states = {"LISTENING": "Listen", "ESTABLISHED": "Established"}
    rows = [
        _object(
            "MSFT_NetTCPConnection",
            {
                "LocalAddress": one.local,
                "LocalPort": one.local_port,
                "RemoteAddress": one.remote,
                "RemotePort": one.remote_port,
                "State": states[one.state],
                "AppliedSetting": "Internet" if one.state == "ESTABLISHED" else None,
                "OwningProcess": one.owner,
                "CreationTime": one.since,
                "OffloadState": "InHost",
            },
        )
        for one in call.session.host.tcpip.sockets
        if one.protocol == "TCP"
    ]
    keys = ("LocalAddress", "LocalPort", "RemoteAddress", "RemotePort", "State", "OwningProcess", "AppliedSetting", "OffloadState")
    yield from _filtered(call, rows, "MSFT_NetTCPConnection", keys)


@cmdlet(
    "Get-NetUDPEndpoint",
    at(0, "LocalAddress", Kind.TEXTS, "IPAddress"),
    at(1, "LocalPort", Kind.VALUE),
    named("OwningProcess", Kind.VALUE),
    *_FAR,
    module=_MODULE,
)
def get_net_udp_endpoint(call: Call) -> Iterator[object]:
    """The UDP sockets."""
    rows = [
        _object(
            "MSFT_NetUDPEndpoint",
            {"LocalAddress": one.local, "LocalPort": one.local_port, "OwningProcess": one.owner, "CreationTime": one.since},
        )
        for one in call.session.host.tcpip.sockets
        if one.protocol == "UDP"
    ]
    yield from _filtered(call, rows, "MSFT_NetUDPEndpoint", ("LocalAddress", "LocalPort", "OwningProcess"))


@cmdlet(
    "Get-NetAdapter",
    at(0, "Name", Kind.TEXTS, "ifAlias", "InterfaceAlias"),
    named("InterfaceDescription", Kind.TEXTS, "ifDesc"),
    named("InterfaceIndex", Kind.VALUE, "ifIndex"),
    switch("Physical"),
    switch("IncludeHidden"),
    *_FAR,
    module="NetAdapter",
)
def get_net_adapter(call: Call) -> Iterator[object]:
    """The adapter."""
    network = call.session.host.tcpip
    row = _object(
        "MSFT_NetAdapter",
        {
            "Name": ALIAS,
            "InterfaceDescription": DESCRIPTION,
            "InterfaceIndex": INTERFACE,
            "ifIndex": INTERFACE,
            "InterfaceAlias": ALIAS,
            "Status": "Up",
            "MacAddress": network.mac,
            "LinkSpeed": "1 Gbps",
            "MediaType": "802.3",
            "PhysicalMediaType": "802.3",
            "AdminStatus": "Up",
            "MediaConnectionState": "Connected",
            "DriverInformation": "Driver Date 2018-04-20 Version 12.17.10.8 NDIS 6.30",
            "DriverFileName": "e1i65x64.sys",
            "ifOperStatus": "Up",
            "MtuSize": 1500,
            "InterfaceGuid": "{5A1F3A52-0F0E-4F3E-9A59-1C8C0F7B9D11}",
            "Virtual": False,
        },
        ALIAS,
    )
    yield from _filtered(call, [row], "MSFT_NetAdapter", ("Name", "InterfaceDescription", "InterfaceIndex"))


@cmdlet(
    "Get-NetIPInterface",
    at(0, "InterfaceAlias", Kind.TEXTS, "ifAlias"),
    named("AddressFamily", Kind.TEXTS),
    named("InterfaceIndex", Kind.VALUE, "ifIndex"),
    *_FAR,
    module=_MODULE,
)
def get_net_ip_interface(call: Call) -> Iterator[object]:
    """The interfaces of the IP layer."""
    rows = [
        _object(
            "MSFT_NetIPInterface",
            {
                "InterfaceIndex": place,
                "InterfaceAlias": alias,
                "AddressFamily": family,
                "NlMtu": mtu,
                "InterfaceMetric": metric,
                "Dhcp": "Disabled",
                "ConnectionState": "Connected",
                "PolicyStore": "ActiveStore",
            },
        )
        for family in ("IPv6", "IPv4")
        for place, alias, mtu, metric in ((INTERFACE, ALIAS, 1500, 25), (LOOPBACK_INTERFACE, _LOOPBACK, 4294967295, 75))
    ]
    yield from _filtered(call, rows, "MSFT_NetIPInterface", ("InterfaceAlias", "AddressFamily", "InterfaceIndex"))


@cmdlet(
    "Get-NetRoute",
    at(0, "DestinationPrefix", Kind.TEXTS),
    named("AddressFamily", Kind.TEXTS),
    named("InterfaceAlias", Kind.TEXTS, "ifAlias"),
    named("InterfaceIndex", Kind.VALUE, "ifIndex"),
    named("NextHop", Kind.TEXTS),
    *_FAR,
    module=_MODULE,
)
def get_net_route(call: Call) -> Iterator[object]:
    """The routes."""
    rows = [
        _object(
            "MSFT_NetRoute",
            {
                "ifIndex": one.index,
                "InterfaceIndex": one.index,
                "InterfaceAlias": ALIAS if one.index == INTERFACE else _LOOPBACK,
                "DestinationPrefix": f"{one.network}/{one.prefix}",
                "NextHop": "0.0.0.0" if one.gateway == "On-link" else one.gateway,  # noqa: S104
                "RouteMetric": 256,
                "ifMetric": one.metric - 256,
                "PolicyStore": "ActiveStore",
                "AddressFamily": "IPv4",
                "Protocol": "NetMgmt" if one.gateway != "On-link" else "Local",
            },
        )
        for one in reversed(call.session.host.tcpip.routes)
    ]
    keys = ("DestinationPrefix", "AddressFamily", "InterfaceAlias", "InterfaceIndex", "NextHop")
    yield from _filtered(call, rows, "MSFT_NetRoute", keys)


@cmdlet(
    "Get-NetNeighbor",
    at(0, "IPAddress", Kind.TEXTS),
    named("AddressFamily", Kind.TEXTS),
    named("InterfaceAlias", Kind.TEXTS, "ifAlias"),
    named("InterfaceIndex", Kind.VALUE, "ifIndex"),
    named("State", Kind.TEXTS),
    named("LinkLayerAddress", Kind.TEXTS),
    *_FAR,
    module=_MODULE,
)
def get_net_neighbor(call: Call) -> Iterator[object]:
    """The neighbours."""
    rows = [
        _object(
            "MSFT_NetNeighbor",
            {
                "ifIndex": INTERFACE,
                "InterfaceIndex": INTERFACE,
                "InterfaceAlias": ALIAS,
                "IPAddress": one.ip,
                "LinkLayerAddress": one.mac.upper(),
                "State": one.state,
                "PolicyStore": "ActiveStore",
                "AddressFamily": "IPv4",
            },
        )
        for one in call.session.host.tcpip.neighbours
    ]
    keys = ("IPAddress", "AddressFamily", "InterfaceAlias", "InterfaceIndex", "State", "LinkLayerAddress")
    yield from _filtered(call, rows, "MSFT_NetNeighbor", keys)


@cmdlet(
    "Get-NetConnectionProfile", named("InterfaceAlias", Kind.TEXTS, "ifAlias"), named("Name", Kind.TEXTS), *_FAR, module="NetConnection"
)
def get_net_connection_profile(call: Call) -> Iterator[object]:
    """The network that the adapter is in."""
    network = call.session.host.tcpip
    row = _object(
        "MSFT_NetConnectionProfile",
        {
            "Name": network.domain or "Network",
            "InterfaceAlias": ALIAS,
            "InterfaceIndex": INTERFACE,
            "NetworkCategory": "DomainAuthenticated" if network.domain else "Private",
            "IPv4Connectivity": "LocalNetwork",
            "IPv6Connectivity": "NoTraffic",
        },
    )
    yield from _filtered(call, [row], "MSFT_NetConnectionProfile", ("InterfaceAlias", "Name"))


# --- names ----------------------------------------------------------------------------------------------------------------


@cmdlet(
    "Get-DnsClientServerAddress",
    at(0, "InterfaceAlias", Kind.TEXTS, "ifAlias"),
    named("AddressFamily", Kind.TEXTS),
    named("InterfaceIndex", Kind.VALUE, "ifIndex"),
    *_FAR,
    module="DnsClient",
)
def get_dns_client_server_address(call: Call) -> Iterator[object]:
    """The name servers of each interface."""
    network = call.session.host.tcpip
    rows = [
        _object(
            "MSFT_DNSClientServerAddress",
            {
                "InterfaceAlias": alias,
                "InterfaceIndex": place,
                "AddressFamily": family,
                "ServerAddresses": [network.gateway] if (family, alias) == ("IPv4", ALIAS) else [],
            },
        )
        for alias, place in ((ALIAS, INTERFACE), (_LOOPBACK, LOOPBACK_INTERFACE))
        for family in ("IPv4", "IPv6")
    ]
    yield from _filtered(call, rows, "MSFT_DNSClientServerAddress", ("InterfaceAlias", "AddressFamily", "InterfaceIndex"))


@cmdlet("Get-DnsClientCache", at(0, "Entry", Kind.TEXTS), named("Name", Kind.TEXTS), named("Type", Kind.TEXTS), *_FAR, module="DnsClient")
def get_dns_client_cache(call: Call) -> Iterator[object]:
    """What the resolver remembers: nothing has been asked for that lies outside the host."""
    yield from ()


@cmdlet("Clear-DnsClientCache", *_FAR, module="DnsClient", changes=True)
def clear_dns_client_cache(call: Call) -> Iterator[object]:
    """Forget what the resolver remembers."""
    yield from ()


def _unresolved(call: Call, name: str) -> None:
    call.error(
        ErrorRecord(
            message=f"{name} : DNS name does not exist",
            exception_type="System.ComponentModel.Win32Exception",
            error_id="DNS_ERROR_RCODE_NAME_ERROR",
            category="ResourceUnavailable",
            target=name,
        )
    )


@cmdlet(
    "Resolve-DnsName",
    at(0, "Name", mandatory=True),
    at(1, "Type"),
    named("Server", Kind.TEXTS),
    switch("DnsOnly"),
    switch("NoHostsFile"),
    switch("CacheOnly"),
    switch("QuickTimeout"),
    *absent("TcpOnly", "LlmnrOnly", "NetbiosFallback", "DnssecOk"),
    class_name="Microsoft.DnsClient.Commands.ResolveDnsName",
    module="DnsClient",
)
def resolve_dns_name(call: Call) -> Iterator[object]:
    """The addresses of a name, or the name of an address."""
    name, network = call.text("Name"), call.session.host.tcpip
    kind = call.text("Type", "A_AAAA").upper()
    reverse = network.name_of(name) if name[:1].isdigit() else None
    address = network.resolve(name)
    if reverse is not None and kind in ("A_AAAA", "PTR"):
        pointer = ".".join(reversed(name.split("."))) + ".in-addr.arpa"
        yield PSObject(
            type_names=("Microsoft.DnsClient.Commands.DnsRecord_PTR", "Microsoft.DnsClient.Commands.DnsRecord", "System.Object"),
            properties={"Name": pointer, "Type": "PTR", "TTL": 1200, "Section": "Question", "NameHost": reverse},
        )
    elif address is None or name[:1].isdigit() or kind not in ("A_AAAA", "A"):
        _unresolved(call, name)
    else:
        yield PSObject(
            type_names=("Microsoft.DnsClient.Commands.DnsRecord_A", "Microsoft.DnsClient.Commands.DnsRecord", "System.Object"),
            properties={"Name": name, "Type": "A", "TTL": 1200, "Section": "Question", "IPAddress": address, "IP4Address": address},
        )


# --- reachability ---------------------------------------------------------------------------------------------------------


@cmdlet(
    "Test-Connection",
    at(0, "ComputerName", Kind.TEXTS, "CN", "IPAddress", "__SERVER", "Server", "Destination", mandatory=True),
    named("Count", Kind.INT),
    named("BufferSize", Kind.INT, "Size", "Bytes", "BS"),
    named("Delay", Kind.INT),
    named("TimeToLive", Kind.INT, "TTL"),
    switch("Quiet"),
    *absent("AsJob", "Source", "Credential", "ThrottleLimit", "DcomAuthentication", "WsmanAuthentication", "Protocol", "Impersonation"),
)
def test_connection(call: Call) -> Iterator[object]:
    """Echo requests."""
    network, count = call.session.host.tcpip, to_int(call.number("Count", 4), (1, 100))
    for name in call.texts("ComputerName"):
        address = network.resolve(name)
        reached = address is not None and network.answers(address)
        if call.switch("Quiet"):
            yield reached
            continue
        for turn in range(count):
            if turn:
                call.session.io.wait(1)
            if not reached or address is None:
                reason = "No such host is known" if address is None else "Error due to lack of resources"
                call.error(
                    ErrorRecord(
                        message=f"Testing connection to computer '{shown(name)}' failed: {reason}",
                        exception_type="System.Net.NetworkInformation.PingException",
                        error_id="TestConnectionException",
                        category="ResourceUnavailable",
                        target=shown(name),
                    )
                )
                continue
            yield PSObject(
                type_names=("System.Management.ManagementObject#root\\cimv2\\Win32_PingStatus", "System.Object"),
                properties={
                    "PSComputerName": call.session.host.name,
                    "Address": name,
                    "IPV4Address": address,
                    "ProtocolAddress": address,
                    "ResponseTime": 0,
                    "StatusCode": 0,
                    "BufferSize": call.number("BufferSize", 32),
                    "ResponseTimeToLive": 128,
                    "ReplySize": call.number("BufferSize", 32),
                    "IPV6Address": None,
                },
            )


@cmdlet(
    "Test-NetConnection",
    at(0, "ComputerName", Kind.TEXT, "RemoteAddress", "cn"),
    at(1, "CommonTCPPort"),
    named("Port", Kind.INT, "RemotePort"),
    named("InformationLevel", choices=("Quiet", "Detailed")),
    switch("TraceRoute"),
    *absent("Hops", "DiagnoseRouting", "ConstrainSourceAddress", "ConstrainInterface"),
    module="NetTCPIP",
)
def test_net_connection(call: Call) -> Iterator[object]:
    """Whether a host answers, and a port of it."""
    network = call.session.host.tcpip
    name = call.text("ComputerName", "internetbeacon.msedge.net")
    ports = {"HTTP": 80, "RDP": 3389, "SMB": 445, "WINRM": 5985}
    port = call.number("Port") if call.given("Port") else ports.get(call.text("CommonTCPPort").upper(), 0)
    address = network.resolve(name)
    if address is None:
        call.warn(f"Name resolution of {name} failed")
    pinged = address is not None and network.answers(address)
    opened = address is not None and network.accepts(address, port)
    if port and address is not None and not opened:
        call.warn(f"TCP connect to ({address} : {port}) failed")
    if not pinged and address is not None and not opened:
        call.warn(f"Ping to {address} failed with status: TimedOut")
    if call.text("InformationLevel") == "Quiet":
        yield opened if port else pinged
        return
    properties: dict[str, PSValue] = {"ComputerName": name, "RemoteAddress": address}
    if port:
        properties |= {"RemotePort": port}
    own = _LOOPBACK if address in (network.ip, "127.0.0.1") else ALIAS
    properties |= {"InterfaceAlias": own if address else "", "SourceAddress": network.ip if address else None}
    if port:
        properties |= {"TcpTestSucceeded": opened}
        if not opened:
            properties |= {"PingSucceeded": pinged}
    else:
        properties |= {"PingSucceeded": pinged, "PingReplyDetails (RTT)": "0 ms"}
    yield PSObject(type_names=("TestNetConnectionResult", "System.Object"), properties=properties, text="TestNetConnectionResult")


@cmdlet(
    "Invoke-WebRequest",
    at(0, "Uri", mandatory=True),
    named("OutFile"),
    named("Method"),
    named("Headers", Kind.VALUE),
    named("Body", Kind.VALUE),
    named("UserAgent"),
    named("TimeoutSec", Kind.INT),
    named("ContentType"),
    switch("UseBasicParsing"),
    switch("UseDefaultCredentials"),
    *absent("Credential", "Proxy", "SessionVariable", "WebSession", "InFile", "Certificate"),
    module="Microsoft.PowerShell.Utility",
)
def invoke_web_request(call: Call) -> Iterator[object]:
    """There is no way out of the lab: every request fails as on a machine without one."""
    yield from _no_way_out(call)


@cmdlet(
    "Invoke-RestMethod",
    at(0, "Uri", mandatory=True),
    named("OutFile"),
    named("Method"),
    named("Headers", Kind.VALUE),
    named("Body", Kind.VALUE),
    named("ContentType"),
    named("TimeoutSec", Kind.INT),
    switch("UseBasicParsing"),
    switch("UseDefaultCredentials"),
    *absent("Credential", "Proxy", "SessionVariable", "WebSession", "InFile", "Certificate"),
    module="Microsoft.PowerShell.Utility",
)
def invoke_rest_method(call: Call) -> Iterator[object]:
    """The same."""
    yield from _no_way_out(call)


def _no_way_out(call: Call) -> Iterator[object]:
    text = call.text("Uri")
    name = text.partition("//")[2].partition("/")[0].partition(":")[0] or text
    known = call.session.host.tcpip.resolve(name) is not None
    record = ErrorRecord(
        message="Unable to connect to the remote server" if known else f"The remote name could not be resolved: '{shown(name)}'",
        exception_type="System.Net.WebException",
        error_id="WebCmdletWebResponseException",
        category="InvalidOperation",
        target="System.Net.HttpWebRequest",
    )
    raise Terminating(call.tagged(record))
    yield  # the type of a cmdlet is a generator


# --- firewall and shares --------------------------------------------------------------------------------------------------


@cmdlet("Get-NetFirewallProfile", at(0, "Name", Kind.TEXTS, "Profile"), switch("All"), *_FAR, module="NetSecurity")
def get_net_firewall_profile(call: Call) -> Iterator[object]:
    """The profiles of the firewall."""
    rows = [
        _object(
            "MSFT_NetFirewallProfile",
            {
                "Name": one.name,
                "Enabled": one.enabled,
                "DefaultInboundAction": "NotConfigured",
                "DefaultOutboundAction": "NotConfigured",
                "AllowInboundRules": "NotConfigured",
                "AllowLocalFirewallRules": "NotConfigured",
                "AllowLocalIPsecRules": "NotConfigured",
                "AllowUserApps": "NotConfigured",
                "AllowUserPorts": "NotConfigured",
                "AllowUnicastResponseToMulticast": "NotConfigured",
                "NotifyOnListen": "True",
                "EnableStealthModeForIPsec": "NotConfigured",
                "LogFileName": "%systemroot%\\system32\\LogFiles\\Firewall\\pfirewall.log",
                "LogMaxSizeKilobytes": 4096,
                "LogAllowed": "False",
                "LogBlocked": "False",
                "LogIgnored": "NotConfigured",
                "DisabledInterfaceAliases": ["NotConfigured"],
            },
            one.name,
        )
        for one in call.session.host.tcpip.profiles.values()
    ]
    yield from _filtered(call, rows, "MSFT_NetFirewallProfile", ("Name",))


@cmdlet(
    "Set-NetFirewallProfile",
    at(0, "Name", Kind.TEXTS, "Profile"),
    named("Enabled"),
    switch("All"),
    *_FAR,
    module="NetSecurity",
    changes=True,
)
def set_net_firewall_profile(call: Call) -> Iterator[object]:
    """Switch profiles of the firewall on or off."""
    profiles = call.session.host.tcpip.profiles
    for name in call.texts("Name") or list(profiles):
        held = next((one for one in profiles if one.lower() == name.lower()), None)
        if held is None:
            _none_found(call, "MSFT_NetFirewallProfile", ("Name",))
        elif call.given("Enabled") and call.should_process(held, "Set-NetFirewallProfile"):
            profiles[held] = replace(profiles[held], enabled=call.text("Enabled").lower() in ("true", "1"))
    yield from ()


_RULES = (
    ("WINRM-HTTP-In-TCP", "Windows Remote Management (HTTP-In)", True, "Domain, Private", "Windows Remote Management", 5985),
    ("WINRM-HTTP-In-TCP-PUBLIC", "Windows Remote Management (HTTP-In)", True, "Public", "Windows Remote Management", 5985),
    ("FPS-SMB-In-TCP", "File and Printer Sharing (SMB-In)", True, "Domain", "File and Printer Sharing", 445),
    ("FPS-ICMP4-ERQ-In", "File and Printer Sharing (Echo Request - ICMPv4-In)", True, "Domain", "File and Printer Sharing", 0),
    ("CoreNet-DHCP-In", "Core Networking - Dynamic Host Configuration Protocol (DHCP-In)", True, "Any", "Core Networking", 68),
    ("RemoteDesktop-UserMode-In-TCP", "Remote Desktop - User Mode (TCP-In)", False, "Any", "Remote Desktop", 3389),
)


@cmdlet(
    "Get-NetFirewallRule",
    at(0, "Name", Kind.TEXTS),
    named("DisplayName", Kind.TEXTS),
    named("DisplayGroup", Kind.TEXTS),
    named("Enabled", Kind.TEXTS),
    named("Direction", Kind.TEXTS),
    named("Action", Kind.TEXTS),
    switch("All"),
    *_FAR,
    module="NetSecurity",
)
def get_net_firewall_rule(call: Call) -> Iterator[object]:
    """The rules of the firewall that bear on the lab."""
    rows = [
        _object(
            "MSFT_NetFirewallRule",
            {
                "Name": name,
                "DisplayName": text,
                "Description": "",
                "DisplayGroup": group,
                "Group": group,
                "Enabled": str(enabled),
                "Profile": profile,
                "Platform": [],
                "Direction": "Inbound",
                "Action": "Allow",
                "EdgeTraversalPolicy": "Block",
                "PrimaryStatus": "OK",
                "Status": "The rule was parsed successfully from the store. (65536)",
                "PolicyStoreSource": "PersistentStore",
                "PolicyStoreSourceType": "Local",
            },
            name,
        )
        for name, text, enabled, profile, group, _ in _RULES
    ]
    yield from _filtered(call, rows, "MSFT_NetFirewallRule", ("Name", "DisplayName", "DisplayGroup", "Enabled", "Direction", "Action"))


@cmdlet("Get-SmbShare", at(0, "Name", Kind.TEXTS), named("Special", Kind.VALUE), switch("IncludeHidden"), *_FAR, module="SmbShare")
def get_smb_share(call: Call) -> Iterator[object]:
    """The shares."""
    rows = [
        PSObject(
            type_names=(f"{_ROOT}#ROOT/Microsoft/Windows/SMB/MSFT_SmbShare", _ROOT, "System.Object"),
            properties={
                "Name": one.name,
                "ScopeName": "*",
                "Path": one.path,
                "Description": one.description,
                "CurrentUsers": 0,
                "ShareState": "Online",
                "ShareType": "FileSystemDirectory" if one.path else "InterprocessCommunication",
                "Special": one.kind >= 1 << 31,
                "EncryptData": False,
            },
            text=one.name,
        )
        for one in call.session.host.shares
    ]
    yield from _filtered(call, rows, "MSFT_SmbShare", ("Name",))


@cmdlet("Get-SmbSession", named("SessionId", Kind.VALUE), named("ClientUserName", Kind.TEXTS), *_FAR, module="SmbShare")
def get_smb_session(call: Call) -> Iterator[object]:
    """Nobody is connected to a share."""
    yield from ()


@cmdlet("Get-SmbConnection", at(0, "ServerName", Kind.TEXTS), *_FAR, module="SmbShare")
def get_smb_connection(call: Call) -> Iterator[object]:
    """The host is connected to no share."""
    yield from ()


@cmdlet("Get-SmbOpenFile", *_FAR, module="SmbShare")
def get_smb_open_file(call: Call) -> Iterator[object]:
    """Nobody has a file of a share open."""
    yield from ()


@cmdlet("Get-SmbMapping", at(0, "LocalPath", Kind.TEXTS), *_FAR, module="SmbShare")
def get_smb_mapping(call: Call) -> Iterator[object]:
    """No share has a drive letter."""
    yield from ()
