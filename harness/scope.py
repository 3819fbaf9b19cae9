"""Whether a target lies inside the authorised scope, by its name and by every address that the name stands for.

The reading is the strict one, since a wrong answer sends packets to somebody else's machine: the host as it is written must match
an entry, *and* each address that it resolves to must lie inside a listed address or network. A name pattern alone admits no
address: names are given out by whoever runs the DNS. The addresses that passed are handed back, and those are what the transport
connects to: a second look-up might answer differently.

Pure: the date and the resolver come in. It must never know where a scope was written or what is sent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from harness.errors import ScopeError
from harness.model.intent import Target

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str], Sequence[str]]

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What may be touched: name patterns (`*` is any run within one or more labels), addresses and networks, until a day.

    `expires` is the last day on which the scope holds, by the local calendar.
    """

    hosts: tuple[str, ...]
    expires: date


def fold_name(name: str) -> str:
    """A host name as DNS compares it: lower case, ASCII (IDNA), without the root's dot. Raises `ValueError` where it is none."""
    bare = name.strip().removesuffix(".")
    if not bare.isascii():
        # The codec refuses blanks, empty labels and labels that are too long, all as UnicodeError, which is a ValueError.
        bare = bare.encode("idna").decode("ascii")
    folded = bare.lower()
    if not folded or len(folded) > 253 or not all(_LABEL.fullmatch(label) for label in folded.split(".")):
        raise ValueError(f"{name!r} is not a host name")
    return folded


def parse_address(text: str) -> Address | None:
    """A literal address, an IPv4 one where it is mapped into IPv6; None where the text is none."""
    try:
        address = ipaddress.ip_address(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_entry(text: str) -> Network | str:
    """An entry of a scope: a network (an address being one of itself alone), or a folded name pattern. Raises `ValueError`."""
    bare = text.strip()
    address = parse_address(bare)
    if address is not None:
        return ipaddress.ip_network(str(address).partition("%")[0])
    if "/" in bare:
        network = ipaddress.ip_network(bare)
        mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.ip_network((mapped, network.prefixlen - 96))
        return network
    if any("*" in label and not label.isascii() for label in bare.split(".")):
        # Punycode has no place for it: the label's letters would move away from around it.
        raise ValueError(f"{text!r} has a wildcard in a label that is not ASCII")
    # The wildcard is taken for a word while the rest of the name is judged and folded.
    stand_in = "wildcard0"
    while stand_in in bare.lower():
        stand_in += "0"
    return fold_name(bare.replace("*", stand_in)).replace(stand_in, "*")


def check_scope(targets: Iterable[Target], scope: Scope | None, today: date, resolve_host: Resolver) -> Mapping[str, tuple[str, ...]]:
    """The vetted addresses of each target, by its name: the only ones that may be connected to.

    `resolve_host` gives every address of a name and raises `OSError` where there is none; such a target gets no address, so nothing
    can be sent to it. Raises `ScopeError` naming every target that is outside, and the entry that would admit it.
    """
    vetted: dict[str, tuple[str, ...]] = {}
    complaints: list[str] = []
    for target in targets:
        if scope is None:
            complaints.append(f"target {target.name} ({target.host}): there is no [scope]; add one that lists its name and network")
        elif today > scope.expires:
            complaints.append(f"target {target.name} ({target.host}): the scope expired on {scope.expires.isoformat()}")
        else:
            addresses, complaint = _judge(target, scope, resolve_host)
            complaints.extend(complaint)
            vetted[target.name] = addresses
    if complaints:
        raise ScopeError("outside the authorised scope, nothing was sent:\n" + "\n".join(f"  {complaint}" for complaint in complaints))
    return vetted


def _judge(target: Target, scope: Scope, resolve_host: Resolver) -> tuple[tuple[str, ...], list[str]]:
    entries = [parse_entry(host) for host in scope.hosts]
    networks = [entry for entry in entries if not isinstance(entry, str)]
    patterns = [entry for entry in entries if isinstance(entry, str)]
    who = f"target {target.name} ({target.host})"
    literal = parse_address(target.host)
    if literal is not None:
        if _inside(literal, networks):
            return (str(literal),), []
        return (), [f'{who}: the address is inside no entry of hosts; add "{literal}"']
    try:
        name = fold_name(target.host)
    except ValueError:
        return (), [f"{who}: it is neither a host name nor an address"]
    if not any(_matches(pattern, name) for pattern in patterns):
        # Told before anything is looked up: a name outside the scope is nobody's to ask for.
        return (), [f'{who}: the name matches no entry of hosts; add "{name}"']
    try:
        answers = resolve_host(name)
    except OSError:
        return (), []
    addresses: dict[str, None] = {}
    complaints: list[str] = []
    for answer in answers:
        address = parse_address(answer)
        if address is None or not _inside(address, networks):
            complaints.append(f'{who}: it resolves to {answer}, which is inside no address or network of hosts; add "{address or answer}"')
        addresses[str(address)] = None
    return tuple(addresses), complaints


def _inside(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _matches(pattern: str, name: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, name) is not None
