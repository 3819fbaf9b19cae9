"""Networks in CIDR notation as patterns of addresses' texts, for tools that compare text alone. It must never know a rule."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from harness.translate.refusal import NotExpressible
from harness.translate.regexes import number_range


def network_pattern(cidr: str) -> str:
    """A pattern of the whole texts of the network's addresses, in plain PCRE; letters in lower case.

    Raises `NotExpressible` for IPv6 networks whose prefix holds several groups of zeros, which texts shorten in too many ways.
    """
    network = ip_network(cidr)
    return _of_four(network) if isinstance(network, IPv4Network) else _of_six(network)


def _of_four(network: IPv4Network) -> str:
    """Windows logs IPv4 clients of a dual-stack socket as ::ffff:a.b.c.d."""
    pairs = zip(network.network_address.packed, network.broadcast_address.packed, strict=True)
    return r"(?:::ffff:)?" + r"\.".join(number_range(low, high, 10) for low, high in pairs)


def _of_six(network: IPv6Network) -> str:
    if network.prefixlen == 128:
        address = network.network_address
        return f"(?:{address.compressed}|{address.exploded})"
    groups = [int.from_bytes(network.network_address.packed[at : at + 2]) for at in range(0, 16, 2)]
    whole, rest = divmod(network.prefixlen, 16)
    fixed = groups[:whole]
    tail = fixed.pop() if not rest and fixed and not fixed[-1] else None
    if 0 in fixed or (tail is not None and rest):
        raise NotExpressible(f"the network {network} has several groups of zeros, which addresses shorten in too many ways")
    front = "".join(f"0{{0,3}}{group:x}:" for group in fixed)
    if not rest and tail is None:
        return f"{front}[0-9a-f:.]+"
    low = groups[whole] if rest else 0
    high = low + (1 << (16 - rest)) - 1 if rest else 0
    group = f"0{{0,3}}{number_range(low, high, 16)}"
    if len(fixed) == 7:
        return front + group
    group += ":"
    # A group of zeros may be shortened away, together with those behind it. At the front the text then begins with two colons.
    if low == 0:
        group = f"(?:{group}|{':' if front else '::'})"
    return f"{front}{group}[0-9a-f:.]*"
