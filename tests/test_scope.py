"""The scope's strict reading: the name and every address, before a packet."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScopeError
from harness.model.intent import Target
from harness.scope import Resolver, Scope, check_scope, fold_name, parse_entry

TODAY = date(2026, 11, 21)
DNS: Mapping[str, Sequence[str]] = {
    "ws6.lab.example": ["10.0.5.6"],
    "two.lab.example": ["10.0.5.6", "10.0.5.7", "10.0.5.6"],
    "stray.lab.example": ["10.0.5.6", "192.0.2.1"],
    "six.lab.example": ["2001:db8::6", "10.0.5.6"],
    "mapped.lab.example": ["::ffff:10.0.5.6"],
    "outside.example": ["10.0.5.6"],
    "ws6": ["10.0.5.6"],
    "xn--bcher-kva.lab.example": ["10.0.5.6"],
}


def resolve(name: str) -> Sequence[str]:
    if name not in DNS:
        raise OSError("no such host")
    return DNS[name]


def never(name: str) -> Sequence[str]:
    raise AssertionError(f"{name} was looked up")


def vetted(host: str, *hosts: str, resolver: Resolver = resolve, expires: date = TODAY) -> tuple[str, ...]:
    scope = Scope(hosts=hosts, expires=expires)
    return check_scope([Target(name="t", host=host)], scope, TODAY, resolver)["t"]


@pytest.mark.parametrize(
    ("host", "hosts", "addresses"),
    [
        ("ws6.lab.example", ("*.lab.example", "10.0.5.0/24"), ("10.0.5.6",)),
        ("ws6.lab.example", ("ws6.lab.example", "10.0.5.6"), ("10.0.5.6",)),
        ("ws6.lab.example", ("ws*.lab.example", "10.0.5.6"), ("10.0.5.6",)),
        ("WS6.Lab.Example.", ("*.LAB.example.", "10.0.5.0/24"), ("10.0.5.6",)),
        ("two.lab.example", ("*.lab.example", "10.0.5.0/24"), ("10.0.5.6", "10.0.5.7")),
        ("six.lab.example", ("*.lab.example", "10.0.5.0/24", "2001:db8::/32"), ("2001:db8::6", "10.0.5.6")),
        ("mapped.lab.example", ("*.lab.example", "10.0.5.0/24"), ("10.0.5.6",)),
        ("ws6.lab.example", ("*.lab.example", "::ffff:10.0.5.0/120"), ("10.0.5.6",)),
        ("ws6", ("ws6", "10.0.0.0/8"), ("10.0.5.6",)),
        ("bücher.lab.example", ("*.lab.example", "10.0.5.0/24"), ("10.0.5.6",)),
        ("BÜCHER.lab.example", ("bücher.lab.example", "10.0.5.0/24"), ("10.0.5.6",)),
        ("10.0.5.9", ("10.0.5.0/24",), ("10.0.5.9",)),
        ("10.0.5.9", ("10.0.5.9",), ("10.0.5.9",)),
        ("::ffff:10.0.5.9", ("10.0.5.9",), ("10.0.5.9",)),
        ("2001:DB8::1", ("2001:db8::/64",), ("2001:db8::1",)),
        ("[2001:db8::1]", ("2001:db8::1",), ("2001:db8::1",)),
        ("fe80::1%eth0", ("fe80::/10",), ("fe80::1%eth0",)),
        ("nowhere.lab.example", ("*.lab.example", "10.0.5.0/24"), ()),
    ],
)
def test_inside(host: str, hosts: tuple[str, ...], addresses: tuple[str, ...]) -> None:
    assert vetted(host, *hosts) == addresses


@pytest.mark.parametrize(
    ("host", "hosts", "said"),
    [
        (
            "stray.lab.example",
            ("*.lab.example", "10.0.5.0/24"),
            'it resolves to 192.0.2.1, which is inside no address or network of hosts; add "192.0.2.1"',
        ),
        (
            "six.lab.example",
            ("*.lab.example", "10.0.5.0/24"),
            'it resolves to 2001:db8::6, which is inside no address or network of hosts; add "2001:db8::6"',
        ),
        ("ws6.lab.example", ("*.lab.example",), 'it resolves to 10.0.5.6, which is inside no address or network of hosts; add "10.0.5.6"'),
    ],
)
def test_every_address_must_be_inside(host: str, hosts: tuple[str, ...], said: str) -> None:
    with pytest.raises(ScopeError) as caught:
        vetted(host, *hosts)
    assert f"target t ({host}): {said}" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("outside.example", ("*.lab.example", "10.0.5.0/24")),
        ("lab.example", ("*.lab.example", "10.0.5.0/24")),
        ("evil-lab.example", ("*.lab.example", "10.0.5.0/24")),
        ("ws6.lab.example.evil.test", ("*.lab.example", "10.0.5.0/24")),
        ("ws6xlab.example", ("ws6.lab.example", "10.0.5.0/24")),
        ("ws6.lab.example", ("10.0.5.0/24",)),
    ],
)
def test_a_name_outside_is_not_even_looked_up(host: str, hosts: tuple[str, ...]) -> None:
    with pytest.raises(ScopeError) as caught:
        vetted(host, *hosts, resolver=never)
    assert f'the name matches no entry of hosts; add "{host}"' in str(caught.value)


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("10.0.6.1", ("10.0.5.0/24",)),
        ("10.0.5.9", ("*.lab.example",)),
        ("10.0.5.9", ("10.*", "*")),
        ("2001:db8:1::1", ("2001:db8::/64",)),
        ("::ffff:10.0.6.1", ("10.0.5.0/24", "::/128")),
    ],
)
def test_a_literal_address_needs_a_network_and_no_pattern_admits_it(host: str, hosts: tuple[str, ...]) -> None:
    with pytest.raises(ScopeError, match="the address is inside no entry of hosts"):
        vetted(host, *hosts, resolver=never)


@pytest.mark.parametrize("host", ["", " ", "a b", "a..b", "-a.example", "x" * 64 + ".example", "ws6.lab.example/..", "bü cher.example"])
def test_what_is_no_host_is_outside(host: str) -> None:
    with pytest.raises(ScopeError, match="neither a host name nor an address"):
        vetted(host, "*", "0.0.0.0/0", resolver=never)


def test_a_scope_holds_through_its_last_day() -> None:
    assert vetted("10.0.5.9", "10.0.5.9", expires=TODAY) == ("10.0.5.9",)
    with pytest.raises(ScopeError, match="the scope expired on 2026-11-20"):
        vetted("10.0.5.9", "10.0.5.9", expires=date(2026, 11, 20), resolver=never)


def test_without_a_scope_everything_is_outside() -> None:
    with pytest.raises(ScopeError, match=r"there is no \[scope\]") as caught:
        check_scope([Target(name="t", host="10.0.5.9")], None, TODAY, never)
    assert caught.value.exit_code == 4


def test_all_targets_outside_are_named_at_once() -> None:
    targets = [Target(name="one", host="10.9.9.9"), Target(name="two", host="10.0.5.9"), Target(name="three", host="outside.example")]
    with pytest.raises(ScopeError) as caught:
        check_scope(targets, Scope(hosts=("10.0.5.0/24",), expires=TODAY), TODAY, resolve)
    assert [word in str(caught.value) for word in ("target one", "target two", "target three")] == [True, False, True]


@pytest.mark.parametrize("entry", ["10.0.5.1/24", "10.0.5.0/33", "a b", "", "http://x", "*.bü*r.example", "ws6:5985", "a/b"])
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_entry(entry)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_an_address_mapped_into_ipv6_is_judged_as_what_it_stands_for(
    address: ipaddress.IPv4Address, member: ipaddress.IPv4Address, prefix: int
) -> None:
    network = ipaddress.ip_network((member, prefix), strict=False)
    for entry in (str(network), f"::ffff:{network.network_address}/{96 + prefix}"):
        for host in (str(address), f"::ffff:{address}"):
            if address in network:
                assert vetted(host, entry) == (str(address),)
            else:
                with pytest.raises(ScopeError):
                    vetted(host, entry)


@given(st.text(max_size=30))
def test_no_text_of_a_host_gives_a_traceback_or_an_address_that_is_not_listed(host: str) -> None:
    try:
        addresses = vetted(host, "*", "10.0.5.0/24", resolver=lambda name: ["10.0.5.6"])
    except ScopeError:
        return
    assert all(address.startswith("10.0.5.") for address in addresses)


@given(st.text(alphabet=st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20))
def test_folding_a_name_twice_changes_nothing(name: str) -> None:
    try:
        folded = fold_name(name)
    except ValueError:
        return
    assert fold_name(folded) == folded == folded.lower()
