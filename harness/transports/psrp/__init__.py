"""PowerShell Remoting as a transport: Enter-PSSession and Invoke-Command over WinRM and PSRP, on an unmodified pypsrp.

No other package imports pypsrp, and nothing above it ever sees one of its exceptions.
"""

from harness.transports.psrp.client import Credential, Timeouts
from harness.transports.psrp.session import PsrpSession
from harness.transports.psrp.transport import PsrpTransport

__all__ = ["Credential", "PsrpSession", "PsrpTransport", "Timeouts"]
