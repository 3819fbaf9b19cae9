"""NTLM's challenge as a domain's member sends it: with the names of the host that answers, not of the machine that the lab runs on.

[MS-NLMP 2.2.1.2, 2.2.2.1]. pyspnego's acceptor puts its own machine's name into the challenge. A client that was given no domain logs on
in the one that the challenge names, and whoever reads the challenge learns a name of the network, so both have to be the emulated ones.
No accounts here, no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spnego import NegotiateOptions
from spnego._context import GSSMech

# pyspnego has no public place to say what its acceptor calls itself.
from spnego._negotiate import NegotiateProxy
from spnego._ntlm import NTLMProxy
from spnego._ntlm_raw.messages import AvId, Challenge, FileTime, NegotiateFlags, TargetInfo, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Computer:
    """How a host calls itself: its NetBIOS name and its domain's, and the domain's name in the DNS."""

    name: str = "HOST"
    domain: str = "LAB"
    dns_domain: str = "lab.example"


class _Acceptor(NTLMProxy):
    """pyspnego's acceptor with the names of a computer."""

    def __init__(self, computer: Computer) -> None:
        super().__init__(usage="accept")
        self._computer = computer

    def _step_accept_negotiate(self, token: bytes) -> bytes:
        plain, computer = Challenge.unpack(super()._step_accept_negotiate(token)), self._computer
        names = TargetInfo()  # in the order of Windows
        names[AvId.nb_domain_name] = computer.domain
        names[AvId.nb_computer_name] = computer.name
        names[AvId.dns_domain_name] = computer.dns_domain
        names[AvId.dns_computer_name] = f"{computer.name.lower()}.{computer.dns_domain}"
        names[AvId.dns_tree_name] = computer.dns_domain
        names[AvId.timestamp] = FileTime.now()
        self._temp_challenge = Challenge(  # kept as sent: the client's proof and the integrity code are computed over it
            plain.flags & ~NegotiateFlags.target_type_server | NegotiateFlags.target_type_domain,
            plain.server_challenge,
            target_name=computer.domain,
            target_info=names,
            version=Version(10, 0, 19041) if plain.flags & NegotiateFlags.version else None,
        )
        return self._temp_challenge.pack()


class _Negotiation(NegotiateProxy):
    """pyspnego's SPNEGO in Python, whatever GSSAPI is installed: it takes bare NTLM tokens too, and Kerberos where it has a keytab."""

    def __init__(self, computer: Computer) -> None:
        super().__init__(hostname="unspecified", service="host", usage="accept", options=NegotiateOptions.use_negotiate)
        self._computer = computer

    def _rebuild_context_list(self, *args: Any, **kwargs: Any) -> list[str]:
        mechanisms = super()._rebuild_context_list(*args, **kwargs)
        if GSSMech.ntlm in self._context_list:
            acceptor = _Acceptor(self._computer)
            acceptor._is_wrapped = True
            self._context_list[GSSMech.ntlm] = (acceptor, None)
        return mechanisms


def negotiation(computer: Computer) -> Any:
    """The acceptor's side of a Negotiate exchange on this computer: a `spnego.ContextProxy`."""
    return _Negotiation(computer)
