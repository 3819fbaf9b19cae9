"""The emulated host's network: its adapter, addresses, routes, neighbours, sockets, names and firewall profiles.

There is no network behind it: names beyond the lab's own do not resolve, and no address but the host's own and its neighbours answers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network

MAX_CONNECTIONS = 256

ANY = "0.0.0.0"  # noqa: S104  what Windows shows of a listener, not an address that is bound
INTERFACE = 12
LOOPBACK_INTERFACE = 1
ALIAS = "Ethernet0"
DESCRIPTION = "Intel(R) 82574L Gigabit Network Connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A socket: `state` as netstat writes it (LISTENING, ESTABLISHED), empty for UDP. `owner` is a process id."""

    protocol: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    state: str
    owner: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An entry of the routing table, IPv4. `gateway` On-link where there is none."""

    network: str
    mask: str
    prefix: int
    gateway: str
    interface: str
    index: int
    metric: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An entry of the ARP cache. `state` as Get-NetNeighbor has it."""

    ip: str
    mac: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A profile of the firewall."""

    name: str
    enabled: bool
    inbound: str = "Block"
    outbound: str = "Allow"


class TcpIp:
    """What one host knows of its network. `owner_of` gives the process id behind a name (svchost group or program)."""

    def __init__(self, *, name: str, domain: str, ip: str, mac: str, driver: str, booted: datetime, owner_of: Callable[[str], int]) -> None:
        self.name = name
        self.domain = domain
        self.ip = ip
        self.mac = mac
        self._driver = driver
        self._booted = booted
        self._owner_of = owner_of
        self._lock = threading.Lock()
        self._sessions: deque[Socket] = deque(maxlen=MAX_CONNECTIONS)
        self.profiles = {one: Profile(name=one, enabled=True) for one in ("Domain", "Private", "Public")}

    # --- addresses --------------------------------------------------------------------------------------------------------

    @property
    def gateway(self) -> str:
        """The default gateway, which is the name server as well."""
        return self.ip.rpartition(".")[0] + ".1"

    @property
    def subnet(self) -> str:
        """The network's own address."""
        return self.ip.rpartition(".")[0] + ".0"

    @property
    def broadcast(self) -> str:
        """The network's broadcast address."""
        return self.ip.rpartition(".")[0] + ".255"

    @property
    def link_local(self) -> str:
        """The adapter's IPv6 address: fe80::/64 with an EUI-64 of its hardware address."""
        parts = [int(part, 16) for part in self.mac.split("-")]
        eui = [parts[0] ^ 2, parts[1], parts[2], 0xFF, 0xFE, *parts[3:]]
        groups = [f"{eui[at] << 8 | eui[at + 1]:x}" for at in range(0, 8, 2)]
        return str(ip_address("fe80::" + ":".join(groups)))

    @property
    def routes(self) -> tuple[Route, ...]:
        """The active IPv4 routes, as `route print` lists them."""

        def route(network: str, prefix: int, gateway: str, interface: str, index: int, metric: int) -> Route:
            mask = str(ip_network(f"{network}/{prefix}").netmask)
            return Route(network=network, mask=mask, prefix=prefix, gateway=gateway, interface=interface, index=index, metric=metric)

        own, here = "On-link", "127.0.0.1"
        return (
            route(ANY, 0, self.gateway, self.ip, INTERFACE, 281),
            route(self.subnet, 24, own, self.ip, INTERFACE, 281),
            route(self.ip, 32, own, self.ip, INTERFACE, 281),
            route(self.broadcast, 32, own, self.ip, INTERFACE, 281),
            route("127.0.0.0", 8, own, here, LOOPBACK_INTERFACE, 331),
            route("127.0.0.1", 32, own, here, LOOPBACK_INTERFACE, 331),
            route("127.255.255.255", 32, own, here, LOOPBACK_INTERFACE, 331),
            route("224.0.0.0", 4, own, here, LOOPBACK_INTERFACE, 331),
            route("224.0.0.0", 4, own, self.ip, INTERFACE, 281),
            route("255.255.255.255", 32, own, here, LOOPBACK_INTERFACE, 331),
            route("255.255.255.255", 32, own, self.ip, INTERFACE, 281),
        )

    @property
    def neighbours(self) -> tuple[Neighbour, ...]:
        """The ARP cache: the gateway, the driver where it is of this network, and what every Windows has."""
        held = [Neighbour(ip=self.gateway, mac="00-50-56-c0-00-01", state="Reachable")]
        if self._driver not in (self.gateway, self.ip) and self._driver.rpartition(".")[0] == self.ip.rpartition(".")[0]:
            last = int(self._driver.rpartition(".")[2])
            held.append(Neighbour(ip=self._driver, mac=f"00-50-56-c0-00-{last:02x}", state="Reachable"))
        held += [
            Neighbour(ip=self.broadcast, mac="ff-ff-ff-ff-ff-ff", state="Permanent"),
            Neighbour(ip="224.0.0.22", mac="01-00-5e-00-00-16", state="Permanent"),
            Neighbour(ip="224.0.0.251", mac="01-00-5e-00-00-fb", state="Permanent"),
            Neighbour(ip="224.0.0.252", mac="01-00-5e-00-00-fc", state="Permanent"),
            Neighbour(ip="239.255.255.250", mac="01-00-5e-7f-ff-fa", state="Permanent"),
            Neighbour(ip="255.255.255.255", mac="ff-ff-ff-ff-ff-ff", state="Permanent"),
        ]
        return tuple(held)

    # --- sockets ----------------------------------------------------------------------------------------------------------

    def accepted(self, remote: str, remote_port: int, local_port: int) -> None:
        """A client of WinRM has connected: http.sys, process 4, has the socket."""
        with self._lock:
            self._sessions.append(self._socket("TCP", self.ip, local_port, remote, remote_port, "ESTABLISHED", 4))

    def closed(self, remote: str, remote_port: int) -> None:
        """A client's connection is over."""
        with self._lock:
            kept = [one for one in self._sessions if (one.remote, one.remote_port) != (remote, remote_port)]
            self._sessions = deque(kept, maxlen=MAX_CONNECTIONS)

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """TCP listeners and connections, then UDP sockets."""
        owner = self._owner_of
        listeners = (
            (ANY, 135, owner("RPCSS")),
            (ANY, 445, 4),
            (ANY, 5985, 4),
            (ANY, 47001, 4),
            (ANY, 49664, owner("lsass.exe")),
            (ANY, 49665, owner("wininit.exe")),
            (ANY, 49666, owner("LocalServiceNetworkRestricted")),
            (ANY, 49667, owner("netsvcs")),
            (ANY, 49668, owner("spoolsv.exe")),
            (ANY, 49669, owner("services.exe")),
            (self.ip, 139, 4),
        )
        wide = ("::", 135, owner("RPCSS")), ("::", 445, 4), ("::", 5985, 4), ("::", 47001, 4)
        datagrams = (
            (ANY, 123, owner("LocalService")),
            (ANY, 500, owner("netsvcs")),
            (ANY, 5353, owner("NetworkService")),
            (ANY, 5355, owner("NetworkService")),
            (self.ip, 137, 4),
            (self.ip, 138, 4),
        )
        with self._lock:
            sessions = tuple(self._sessions)
        return (
            *(self._socket("TCP", at, port, ANY, 0, "LISTENING", pid) for at, port, pid in listeners if pid),
            *sessions,
            *(self._socket("TCP", at, port, "::", 0, "LISTENING", pid) for at, port, pid in wide if pid),
            *(self._socket("UDP", at, port, "*", 0, "", pid) for at, port, pid in datagrams if pid),
        )

    def _socket(self, protocol: str, local: str, port: int, remote: str, remote_port: int, state: str, owner: int) -> Socket:
        return Socket(
            protocol=protocol,
            local=local,
            local_port=port,
            remote=remote,
            remote_port=remote_port,
            state=state,
            owner=owner,
            since=self._booted,
        )

    # --- names ------------------------------------------------------------------------------------------------------------

    @property
    def fqdn(self) -> str:
        """The host's full name."""
        return f"{self.name}.{self.domain}" if self.domain else self.name

    def resolve(self, name: str) -> str | None:
        """The IPv4 address of a name, None where nothing knows it: the host itself, its gateway, the loopback, addresses as they are."""
        low = name.rstrip(".").lower()
        if low in ("localhost", "loopback", "127.0.0.1"):
            return "127.0.0.1"
        if low in (self.name.lower(), self.fqdn.lower(), self.ip):
            return self.ip
        try:
            return str(ip_address(low))
        except ValueError:
            return None

    def name_of(self, address: str) -> str | None:
        """The name of an address, None where nothing knows it."""
        return self.fqdn if address == self.ip else "localhost" if address in ("127.0.0.1", "::1") else None

    def answers(self, address: str) -> bool:
        """Whether an address answers an echo request."""
        return address in (self.ip, "127.0.0.1", "::1", self.gateway, self._driver, self.link_local)

    def accepts(self, address: str, port: int) -> bool:
        """Whether a TCP connection to the address comes about: only to the host's own listeners."""
        own = address in (self.ip, "127.0.0.1")
        return own and any(one.protocol == "TCP" and one.state == "LISTENING" and one.local_port == port for one in self.sockets)
