"""The lab: WinRM endpoints on loopback, an emulated Windows host behind each, and an embedded SIEM, in a process of its own.

It never sees a scenario or an expectation; what it may import of `harness` is enforced by import-linter.
"""
