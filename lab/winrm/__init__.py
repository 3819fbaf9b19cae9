"""The WinRM endpoint: HTTP, WS-Management and PSRP, as an unmodified client expects them."""

from lab.winrm.auth import EndpointAccount
from lab.winrm.endpoint import Endpoint
from lab.winrm.service import EndpointCounts

__all__ = ["Endpoint", "EndpointAccount", "EndpointCounts"]
