"""PowerShell Remoting: Enter-PSSession, Invoke-Command and the null action over WinRM and PSRP, on an unmodified pypsrp.

Nothing above it ever sees one of its exceptions.
"""
