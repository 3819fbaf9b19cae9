"""What a jump host is told, as far as it can be said without one; whole runs by way of one are in tests/cli."""

from __future__ import annotations

import pytest

from harness.clock import SystemClock
from harness.errors import AuthenticationFailed, ConnectFailed
from harness.model.intent import Auth, Connect, Target
from harness.transports.credential import Credential
from harness.transports.psrp.jump import inner_address
from harness.transports.winrm import WinrmTransport

JUMP = Target(name="jump", host="127.0.0.1", port=1)


@pytest.mark.parametrize(
    ("target", "address", "said"),
    [
        (Target(name="t", host="ws6.lab.example", port=5985), "10.0.5.6", ("ws6.lab.example", 5985)),
        (Target(name="t", host="ws6.lab.example", port=15986, tls=True), "10.0.5.6", ("ws6.lab.example", 15986)),
        (Target(name="t", host="10.0.5.6", port=5986, tls=True), "10.0.5.6", ("10.0.5.6", 5986)),
        (Target(name="t", host="127.0.0.1", port=41234, computer="WS2.lab.example"), "127.0.0.1", ("WS2.lab.example", 5985)),
        (Target(name="t", host="ws2.lab.example", port=41234, tls=True, computer="WS2.lab.example"), "::1", ("WS2.lab.example", 5986)),
        (Target(name="t", host="localhost", port=41234), "127.0.0.1", ("localhost", 5985)),
    ],
    ids=["name", "own port", "address", "lab", "lab by name", "no other name"],
)
def test_another_host_finds_the_target_where_the_driver_does_unless_that_is_the_drivers_own(
    target: Target, address: str, said: tuple[str, int]
) -> None:
    assert inner_address(target, address) == said


def test_who_has_no_credentials_or_address_is_told_before_anything_is_sent() -> None:
    target = Target(name="t", host="ws6.lab.example", via=JUMP, auth=Auth.NEGOTIATE)
    both = {"jump": Credential(user="u", password="p"), "t": Credential(user="u", password="p")}
    addresses = {"jump": "127.0.0.1", "t": "10.0.5.6"}
    for missing in ("jump", "t"):
        some = {name: value for name, value in both.items() if name != missing}
        with pytest.raises(AuthenticationFailed, match=f"{missing}: there are no credentials for it"):
            WinrmTransport(credentials=some, addresses=addresses, clock=SystemClock()).open(target, Connect())
        known = {name: value for name, value in addresses.items() if name != missing}
        with pytest.raises(ConnectFailed, match=f"{missing}: .* has no address"):
            WinrmTransport(credentials=both, addresses=known, clock=SystemClock()).open(target, Connect())
