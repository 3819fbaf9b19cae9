"""The WinRM endpoint: HTTP, WS-Management and PSRP, as an unmodified client expects them."""
