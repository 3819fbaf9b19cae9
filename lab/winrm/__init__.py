"""The WinRM endpoint: HTTP, WS-Management, PSRP and WinRS, as an unmodified client expects them."""

from lab.winrm.auth import Access, ChannelBinding, EndpointAccount, Scheme, fingerprint
from lab.winrm.config import Quotas
from lab.winrm.endpoint import Endpoint
from lab.winrm.ntlm import Computer
from lab.winrm.service import EndpointCounts
from lab.winrm.tls import Authority, Identity, make_authority, make_identity

__all__ = [
    "Access",
    "Authority",
    "ChannelBinding",
    "Computer",
    "Endpoint",
    "EndpointAccount",
    "EndpointCounts",
    "Identity",
    "Quotas",
    "Scheme",
    "fingerprint",
    "make_authority",
    "make_identity",
]
