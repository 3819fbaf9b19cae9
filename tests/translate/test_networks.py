"""Networks as patterns fit the addresses of the network and no others."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.translate.networks import network_pattern
from harness.translate.refusal import NotExpressible

numbers = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(numbers, st.integers(0, 32), numbers, st.booleans())
def test_ipv4(base: int, length: int, address: int, near: bool) -> None:
    network = IPv4Network((base, length), strict=False)
    if near:  # half of them inside
        address = int(network.network_address) | (address & int(network.hostmask))
    text = str(IPv4Network(address)[0])
    pattern = network_pattern(str(network))
    assert (re.fullmatch(pattern, text) is not None) == (IPv4Network(address).subnet_of(network))
    assert (re.fullmatch(pattern, f"::ffff:{text}") is not None) == (IPv4Network(address).subnet_of(network))


groups = st.lists(st.sampled_from([0, 0, 1, 0xFF, 0x2603, 0xFE80, 0xFFFF]), min_size=8, max_size=8)


@settings(deadline=None)
@given(groups, st.integers(0, 128), groups, st.booleans(), st.booleans())
def test_ipv6(base: list[int], length: int, other: list[int], near: bool, exploded: bool) -> None:
    network = IPv6Network((int("".join(f"{group:04x}" for group in base), 16), length), strict=False)
    address = IPv6Address(int("".join(f"{group:04x}" for group in other), 16))
    if near:
        address = IPv6Address(int(network.network_address) | (int(address) & int(network.hostmask)))
    assume(address.ipv4_mapped is None)
    try:
        pattern = network_pattern(str(network))
    except NotExpressible:
        assume(False)
    text = address.exploded if exploded else str(address)
    assert (re.fullmatch(pattern, text) is not None) == (address in network)


@pytest.mark.parametrize("cidr", ["fe80::/10", "fc00::/7", "::1/128", "2603:1006::/40", "2603:1017::/48", "2a01:111:f400::/48"])
def test_the_networks_of_rules_are_expressible(cidr: str) -> None:
    assert re.fullmatch(network_pattern(cidr), str(ip_network(cidr)[0]))


def test_several_groups_of_zeros_are_named() -> None:
    with pytest.raises(NotExpressible, match="zeros"):
        network_pattern("2620:1ec:0:0::/64")
