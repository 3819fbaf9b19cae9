"""Programs about the network: ipconfig, arp, netstat."""

from __future__ import annotations

from lab.host.programs.base import Run, program


def _gateway(ip: str) -> str:
    return ip.rpartition(".")[0] + ".1"


@program("ipconfig.exe")
def ipconfig(run: Run) -> int:
    """The one adapter; /all with more."""
    host = run.host
    given = [one.lower() for one in run.arguments]
    if given not in ([], ["/all"]):
        raise run.unmodelled()
    run.write("", "Windows IP Configuration", "")
    if given:
        run.write(
            f"   Host Name . . . . . . . . . . . . : {host.name}",
            f"   Primary Dns Suffix  . . . . . . . : {host.domain}",
            "   Node Type . . . . . . . . . . . . : Hybrid",
            "   IP Routing Enabled. . . . . . . . : No",
            "   WINS Proxy Enabled. . . . . . . . : No",
            f"   DNS Suffix Search List. . . . . . : {host.domain}",
        )
    run.write("", "Ethernet adapter Ethernet0:", "", "   Connection-specific DNS Suffix  . : ")
    if given:
        run.write(
            "   Description . . . . . . . . . . . : Intel(R) 82574L Gigabit Network Connection",
            f"   Physical Address. . . . . . . . . : {host.mac}",
            "   DHCP Enabled. . . . . . . . . . . : No",
            "   Autoconfiguration Enabled . . . . : Yes",
        )
    run.write(
        f"   IPv4 Address. . . . . . . . . . . : {host.ip}{'(Preferred) ' if given else ''}",
        "   Subnet Mask . . . . . . . . . . . : 255.255.255.0",
        f"   Default Gateway . . . . . . . . . : {_gateway(host.ip)}",
    )
    if given:
        run.write(
            f"   DNS Servers . . . . . . . . . . . : {_gateway(host.ip)}",
            "   NetBIOS over Tcpip. . . . . . . . : Enabled",
        )
    return 0


@program("arp.exe")
def arp(run: Run) -> int:
    """The neighbours: the gateway and the driver."""
    if [one.lower() for one in run.arguments] not in (["-a"], ["/a"], ["-g"]):
        raise run.unmodelled()
    host = run.host
    run.write("", f"Interface: {host.ip} --- 0xc", "  Internet Address      Physical Address      Type")
    for address in sorted({_gateway(host.ip), host.seen_from}):
        last = int(address.rpartition(".")[2]) & 0xFF if address.rpartition(".")[2].isdigit() else 1
        run.write(f"  {address:<21} 00-50-56-c0-00-{last:02x}     dynamic   ")
    run.write("  224.0.0.22            01-00-5e-00-00-16     static    ")
    return 0


@program("netstat.exe")
def netstat(run: Run) -> int:
    """The listeners: -a, -n, -o, in any combination."""
    flags = "".join(one[1:].lower() for one in run.arguments if one[:1] in "-/")
    if not flags or set(flags) - set("ano") or any(one[:1] not in "-/" for one in run.arguments):
        raise run.unmodelled()
    owners = "o" in flags
    run.write(
        "", "Active Connections", "", f"  Proto  Local Address          Foreign Address        State{'           PID' if owners else ''}"
    )
    if "a" in flags:
        host = run.host
        name = host.name if "n" not in flags else ""
        for address, port, pid in (("0.0.0.0", 135, host.dcom_launch.pid), ("0.0.0.0", 445, 4), ("0.0.0.0", 5985, 4), (host.ip, 139, 4)):  # noqa: S104
            local = f"{address}:{port}"
            foreign = f"{name}:0" if name else "0.0.0.0:0"
            run.write(f"  TCP    {local:<22} {foreign:<22} LISTENING{f'       {pid}' if owners else ''}")
    return 0
