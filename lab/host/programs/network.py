"""Programs about the network: ipconfig, arp, netstat, route, nbtstat, nslookup, ping, tracert, pathping, getmac, netsh."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lab.host.network import ALIAS, ANY, DESCRIPTION, INTERFACE, LOOPBACK_INTERFACE, Socket
from lab.host.programs.base import Run, program
from lab.host.programs.layout import formatted

MAX_ECHOES = 1_000


@program("ipconfig.exe")
def ipconfig(run: Run) -> int:
    """The one adapter; /all with more, /displaydns and /flushdns of the resolver's cache."""
    host, network = run.host, run.host.tcpip
    given = [one.lower().replace("-", "/", 1) for one in run.arguments]
    run.write("", "Windows IP Configuration", "")
    match given:
        case ["/displaydns"]:
            return 0
        case ["/flushdns"]:
            run.write("Successfully flushed the DNS Resolver Cache.")
            return 0
        case ["/registerdns"]:
            run.write(
                "Registration of the DNS resource records for all adapters of this computer has been initiated. Any errors will be "
                "reported in the Event Viewer in 15 minutes."
            )
            return 0
        case [] | ["/all"] | ["/allcompartments"]:
            pass
        case _:
            run.output.clear()
            if given[0] not in ("/?", "/renew", "/release", "/showclassid", "/setclassid"):
                run.complain("", "Error: unrecognized or incomplete command line.", "")
                return 1
            raise run.unmodelled()
    every = given == ["/all"]
    if every:
        run.write(
            f"   Host Name . . . . . . . . . . . . : {host.name}",
            f"   Primary Dns Suffix  . . . . . . . : {host.domain}",
            "   Node Type . . . . . . . . . . . . : Hybrid",
            "   IP Routing Enabled. . . . . . . . : No",
            "   WINS Proxy Enabled. . . . . . . . : No",
            *([f"   DNS Suffix Search List. . . . . . : {host.domain}"] if host.domain else []),
        )
    run.write("", f"Ethernet adapter {ALIAS}:", "", "   Connection-specific DNS Suffix  . : ")
    if every:
        run.write(
            f"   Description . . . . . . . . . . . : {DESCRIPTION}",
            f"   Physical Address. . . . . . . . . : {host.mac}",
            "   DHCP Enabled. . . . . . . . . . . : No",
            "   Autoconfiguration Enabled . . . . : Yes",
        )
    run.write(
        f"   Link-local IPv6 Address . . . . . : {network.link_local}%{INTERFACE}{'(Preferred) ' if every else ''}",
        f"   IPv4 Address. . . . . . . . . . . : {host.ip}{'(Preferred) ' if every else ''}",
        "   Subnet Mask . . . . . . . . . . . : 255.255.255.0",
        f"   Default Gateway . . . . . . . . . : {network.gateway}",
    )
    if every:
        run.write(f"   DNS Servers . . . . . . . . . . . : {network.gateway}", "   NetBIOS over Tcpip. . . . . . . . : Enabled")
    return 0


@program("arp.exe")
def arp(run: Run) -> int:
    """The neighbours."""
    given = [one.lower().replace("/", "-", 1) for one in run.arguments]
    if not given or given[0] not in ("-a", "-g") or len(given) > 2:
        raise run.unmodelled()
    kept = [one for one in run.host.tcpip.neighbours if len(given) == 1 or one.ip == given[1]]
    if not kept:
        run.write("No ARP Entries Found.")
        return 1
    run.write("", f"Interface: {run.host.ip} --- 0x{INTERFACE:x}", "  Internet Address      Physical Address      Type")
    run.write(*(f"  {one.ip:<21} {one.mac:<21} {'static' if one.state == 'Permanent' else 'dynamic':<10}" for one in kept))
    return 0


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


_SERVICES = {135: "epmap", 445: "microsoft-ds", 139: "netbios-ssn", 5985: "wsman", 123: "ntp", 137: "netbios-ns", 138: "netbios-dgm"}


@program("netstat.exe")
def netstat(run: Run) -> int:
    """Sockets: -a -n -o in any combination, -p; the routing table with -r. -b is refused, as its owners' modules are not modelled."""
    flags, rest = "", list(run.arguments)
    protocol = ""
    while rest:
        one = rest.pop(0)
        if one.lower() in ("-p", "/p") and rest:
            protocol = rest.pop(0).upper()
        elif one[:1] in "-/" and re.fullmatch(r"[anoqrt]+", one[1:].lower()):
            flags += one[1:].lower()
        else:
            raise run.unmodelled()
    if "r" in flags:
        return _print_routes(run)
    owners, numeric = "o" in flags, "n" in flags
    run.write(
        "", "Active Connections", "", f"  Proto  Local Address          Foreign Address        State{'           PID' if owners else ''}"
    )
    for held in run.host.tcpip.sockets:
        wanted = {"TCP": held.protocol == "TCP" and ":" not in held.local, "UDP": held.protocol == "UDP"}
        if protocol and not wanted.get(protocol, False):
            continue
        if "a" not in flags and held.state != "ESTABLISHED":
            continue
        run.write(_socket_line(run, held, owners=owners, numeric=numeric))
    return 0


def _socket_line(run: Run, one: Socket, *, owners: bool, numeric: bool) -> str:
    name = run.host.name

    def end(address: str, port: int) -> str:
        if address == "*":
            return "*:*"
        if numeric:
            return f"{_bracketed(address)}:{port}"
        shown = name if address in ("::", run.host.ip) or address.startswith("0.") else address
        return f"{_bracketed(address) if address == '::' else shown}:{_SERVICES.get(port, port)}"

    state = f"{one.state:<15} {one.owner}" if owners else one.state
    return f"  {one.protocol}    {end(one.local, one.local_port):<22} {end(one.remote, one.remote_port):<22} {state}".rstrip()


def _print_routes(run: Run) -> int:
    host, bar = run.host, "=" * 75
    run.write(
        bar,
        "Interface List",
        f" {INTERFACE}...{host.mac.replace('-', ' ').lower()} ......{DESCRIPTION}",
        f"  {LOOPBACK_INTERFACE}...........................Software Loopback Interface 1",
        bar,
        "",
        "IPv4 Route Table",
        bar,
        "Active Routes:",
        "Network Destination        Netmask          Gateway       Interface  Metric",
    )
    run.write(*(f"{one.network:>17} {one.mask:>16} {one.gateway:>16} {one.interface:>16} {one.metric:>6}" for one in host.tcpip.routes))
    run.write(bar, "Persistent Routes:", "  Network Address          Netmask  Gateway Address  Metric")
    run.write(f"{ANY:>17} {ANY:>16} {host.tcpip.gateway:>16}  Default ", bar, "")
    run.write(
        "IPv6 Route Table",
        bar,
        "Active Routes:",
        " If Metric Network Destination      Gateway",
        "  1    331 ::1/128                  On-link",
    )
    run.write(f" {INTERFACE}    281 fe80::/64                On-link", bar, "Persistent Routes:", "  None")
    return 0


@program("route.exe")
def route(run: Run) -> int:
    """print; routes are not changed here."""
    given = [one.lower() for one in run.arguments if one.lower() not in ("-4", "-6")]
    if not given or given[0] != "print" or len(given) > 2:
        raise run.unmodelled()
    return _print_routes(run)


@program("nbtinfo.exe")
def nbtstat(run: Run) -> int:
    """-n, -c, -r, -s and -A/-a of the host itself."""
    host = run.host
    given = run.arguments[0] if run.arguments else ""
    run.write("    ", f"{ALIAS}:", f"Node IpAddress: [{host.ip}] Scope Id: []", "")
    own = len(run.arguments) == 2 and run.arguments[1].lower() in (host.ip, host.name.lower(), "127.0.0.1")
    if given in ("-n", "/n") or (given.lower() in ("-a", "/a") and own):
        title = "NetBIOS Local Name Table" if given.lower().endswith("n") else "NetBIOS Remote Machine Name Table"
        run.write(f"                {title}", "", "       Name               Type         Status", "    " + "-" * 45)
        for name, kind, group in ((host.name, "00", "UNIQUE"), (host.netbios_domain, "00", "GROUP"), (host.name, "20", "UNIQUE")):
            run.write(f"    {name.upper()[:15]:<15}<{kind}>  {group:<11} Registered ")
        if given.lower() in ("-a", "/a"):
            run.write("", f"    MAC Address = {host.mac}")
    elif given in ("-c", "/c", "-S", "/S", "-s", "/s"):
        run.write("    No names in cache" if given.endswith("c") else "    No Connections")
    elif given.lower() in ("-a", "/a") and len(run.arguments) == 2:
        run.write("    Host not found.")
        return 1
    else:
        run.output.clear()
        raise run.unmodelled()
    return 0


@program("nslookup.exe")
def nslookup(run: Run) -> int:
    """A name or an address, asked of the gateway's name server."""
    given = [one for one in run.arguments if not one.startswith("-")]
    network = run.host.tcpip
    if not given or len(given) > 2:
        raise run.unmodelled()
    run.write("Server:  UnKnown", f"Address:  {network.gateway if len(given) == 1 else given[1]}", "")
    address, name = network.resolve(given[0]), network.name_of(given[0])
    if address is None or (given[0][:1].isdigit() and name is None):
        run.complain(f"*** UnKnown can't find {given[0]}: Non-existent domain")
        return 0  # nslookup says so only in words
    run.write(f"Name:    {name or (network.fqdn if address == network.ip else given[0])}", f"Address:  {address}", "")
    return 0


@program("ping.exe")
def ping(run: Run) -> int:
    """Echo requests: -n COUNT, -w, -l, -4, -a; one a second."""
    count, size, rest = 4, 32, list(run.arguments)
    target = ""
    while rest:
        one = rest.pop(0).lower().replace("/", "-", 1)
        if one in ("-n", "-w", "-l", "-i") and rest:
            value = rest.pop(0)
            if not value.isdigit():
                run.complain(f"Bad value for option {one}, valid range is from 1 to 4294967295.")
                return 1
            count = int(value) if one == "-n" else count
            size = min(int(value), 65_500) if one == "-l" else size
        elif one in ("-4", "-a"):
            continue
        elif one.startswith("-") or target:
            raise run.unmodelled()
        else:
            target = one
    if not target:
        raise run.unmodelled()
    network = run.host.tcpip
    address = network.resolve(target)
    if address is None:
        run.write(f"Ping request could not find host {target}. Please check the name and try again.")
        return 1
    if count > MAX_ECHOES:
        raise run.unmodelled()
    named = f"{network.name_of(address) or target} [{address}]" if target != address else address
    run.write("", f"Pinging {named} with {size} bytes of data:")
    reached = network.answers(address)
    for turn in range(count):
        if turn or not reached:
            run.world.io.wait(1)
        run.write(f"Reply from {address}: bytes={size} time<1ms TTL=128" if reached else "Request timed out.")
    lost = 0 if reached else count
    share = 0 if reached else 100
    run.write(
        "", f"Ping statistics for {address}:", f"    Packets: Sent = {count}, Received = {count - lost}, Lost = {lost} ({share}% loss),"
    )
    if reached:
        run.write("Approximate round trip times in milli-seconds:", "    Minimum = 0ms, Maximum = 0ms, Average = 0ms")
    return 0 if reached else 1


def _traced(run: Run, values: tuple[str, ...]) -> str:
    """The target that is left of the arguments without options."""
    rest, found = list(run.arguments), ""
    while rest:
        one = rest.pop(0)
        if one.lower() in values and rest:
            rest.pop(0)
        elif not one.startswith(("-", "/")):
            found = one
    if not found:
        raise run.unmodelled()
    return found


@program("tracert.exe")
def tracert(run: Run) -> int:
    """The way to a host: one hop in the lab, nothing beyond."""
    target, network = _traced(run, ("-h", "-w", "-j")), run.host.tcpip
    address = network.resolve(target)
    if address is None:
        run.write(f"Unable to resolve target system name {target}.")
        return 1
    run.write(
        "", f"Tracing route to {target} [{address}]" if target != address else f"Tracing route to {address} over a maximum of 30 hops"
    )
    run.write(*(["over a maximum of 30 hops:"] if target != address else []), "")
    if network.answers(address):
        run.write(
            f"  1    <1 ms    <1 ms    <1 ms  {network.name_of(address) or address}{f' [{address}]' if network.name_of(address) else ''} "
        )
    else:
        run.write(*(f"{hop:>3}     *        *        *     Request timed out." for hop in range(1, 31)))
    run.write("", "Trace complete.")
    return 0


@program("pathping.exe")
def pathping(run: Run) -> int:
    """The same with statistics."""
    target, network = _traced(run, ("-h", "-w", "-p", "-q", "-i", "-g")), run.host.tcpip
    address = network.resolve(target)
    if address is None:
        run.write(f"Unable to resolve target system name {target}.")
        return 1
    run.write("", f"Tracing route to {target} [{address}]", "over a maximum of 30 hops:", f"  0  {network.fqdn} [{network.ip}] ")
    run.write(f"  1  {address} " if network.answers(address) else "  1     *        *        *     ", "")
    run.write("Computing statistics for 25 seconds...")
    run.world.io.wait(25)
    run.write("            Source to Here   This Node/Link", "Hop  RTT    Lost/Sent = Pct  Lost/Sent = Pct  Address")
    run.write(f"  0                                           {network.fqdn} [{network.ip}] ")
    run.write(
        "                                0/ 100 =  0%   |",
        f"  1    0ms     0/ 100 =  0%     0/ 100 =  0%  {address} ",
        "",
        "Trace complete.",
    )
    return 0


@program("getmac.exe")
def getmac(run: Run) -> int:
    """Hardware addresses: /v, /fo, /nh."""
    given = [one.lower() for one in run.arguments]
    form, headed, verbose = "table", True, False
    while given:
        one = given.pop(0)
        if one == "/fo" and given and given[0] in ("table", "csv", "list"):
            form = given.pop(0)
        elif one == "/nh":
            headed = False
        elif one == "/v":
            verbose = True
        else:
            raise run.unmodelled()
    transport = "\\Device\\Tcpip_{5A1F3A52-0F0E-4F3E-9A59-1C8C0F7B9D11}"
    headings: tuple[str, ...] = ("Physical Address", "Transport Name")
    row: tuple[str, ...] = (run.host.mac, transport)
    if verbose:
        headings, row = ("Connection Name", "Network Adapter", *headings), (ALIAS, "Intel(R) 82574L", *row)
    run.write("", *formatted(form, headings, [row], with_headings=headed))
    return 0


@program("netsh.exe")
def netsh(run: Run) -> int:
    """show of interfaces, firewall and the like; `set allprofiles state` of the firewall."""
    given = [one.lower() for one in run.arguments]
    text = " ".join(given)
    host, network = run.host, run.host.tcpip
    found = _FIREWALL.fullmatch(text)
    if found:
        return _firewall(run, found)
    if text in ("interface show interface", "int show int", "interface show int"):
        run.write("", "Admin State    State          Type             Interface Name", "-" * 73)
        run.write(f"Enabled        Connected      Dedicated        {ALIAS}", "")
        return 0
    if re.fullmatch(r"(interface|int) (ip|ipv4) show (config|addresses|address)", text):
        run.write("", f'Configuration for interface "{ALIAS}"')
        rows = (
            ("DHCP enabled:", "No"),
            ("IP Address:", host.ip),
            ("Subnet Prefix:", f"{network.subnet}/24 (mask 255.255.255.0)"),
            ("Default Gateway:", network.gateway),
            ("Gateway Metric:", "256"),
            ("InterfaceMetric:", "25"),
        )
        run.write(*(f"    {name:<38}{value}" for name, value in rows))
        run.write(
            "", 'Configuration for interface "Loopback Pseudo-Interface 1"', *(f"    {name:<38}{value}" for name, value in _LOOPBACK), ""
        )
        return 0
    if re.fullmatch(r"(interface|int) portproxy show (all|v4tov4)", text):
        run.write("")
        return 0
    if text in ("wlan show profiles", "wlan show profile", "wlan show interfaces"):
        run.write("The Wireless AutoConfig Service (wlansvc) is not running.")
        return 1
    if text == "winhttp show proxy":
        run.write("", "Current WinHTTP proxy settings:", "", "    Direct access (no proxy server).", "")
        return 0
    if text.startswith("advfirewall firewall show rule name=all"):
        for name, enabled, port in _FIREWALL_RULES:
            run.write("", f"{'Rule Name:':<38}{name}", "-" * 70)
            rows2 = (("Enabled:", enabled), ("Direction:", "In"), ("Protocol:", "TCP"), ("LocalPort:", port), ("Action:", "Allow"))
            run.write(*(f"{label:<38}{value}" for label, value in rows2))
        run.write("Ok.", "")
        return 0
    if text == "firewall show state":
        state = "Enable" if network.profiles["Domain"].enabled else "Disable"
        run.write(
            "",
            "Firewall status:",
            "-" * 67,
            "Profile                           = Domain",
            f"Operational mode                  = {state}",
            "",
        )
        return 0
    raise run.unmodelled()


_FIREWALL = re.compile(
    r"advfirewall (show|set) (allprofiles|domainprofile|privateprofile|publicprofile|currentprofile)(?: (state))?(?: (on|off))?"
)


def _firewall(run: Run, found: re.Match[str]) -> int:
    profiles = run.host.tcpip.profiles
    names = list(profiles) if found[2] == "allprofiles" else ["Domain"] if found[2] == "currentprofile" else [found[2][:-7].capitalize()]
    if found[1] == "set":
        if not found[4]:
            raise run.unmodelled()
        for name in names:
            profiles[name] = replace(profiles[name], enabled=found[4] == "on")
    else:
        for name in names:
            state = "ON" if profiles[name].enabled else "OFF"
            run.write("", f"{name} Profile Settings: ", "-" * 70, f"State                                 {state}")
            if not found[3]:
                run.write(*_PROFILE)
    run.write("Ok.", "")
    return 0


_LOOPBACK = (
    ("DHCP enabled:", "No"),
    ("IP Address:", "127.0.0.1"),
    ("Subnet Prefix:", "127.0.0.0/8 (mask 255.0.0.0)"),
    ("InterfaceMetric:", "75"),
)
_PROFILE: Sequence[str] = (
    "Firewall Policy                       BlockInbound,AllowOutbound",
    "LocalFirewallRules                    N/A (GPO-store only)",
    "LocalConSecRules                      N/A (GPO-store only)",
    "InboundUserNotification               Enable",
    "RemoteManagement                      Disable",
    "UnicastResponseToMulticast            Enable",
    "",
    "Logging:",
    "LogAllowedConnections                 Disable",
    "LogDroppedConnections                 Disable",
    "FileName                              %systemroot%\\system32\\LogFiles\\Firewall\\pfirewall.log",
    "MaxFileSize                           4096",
    "",
)
_FIREWALL_RULES = (
    ("Windows Remote Management (HTTP-In)", "Yes", "5985"),
    ("File and Printer Sharing (SMB-In)", "Yes", "445"),
    ("Remote Desktop - User Mode (TCP-In)", "No", "3389"),
)
