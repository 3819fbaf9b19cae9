"""The Windows Remote Shell: command lines over WinRM, on an unmodified pywinrm.

No other package imports pywinrm but `harness.transports.errors`, which knows its exceptions.
"""
