"""Who logs: the facts of a host that its event records bear whatever happened. It knows of no happening."""

from __future__ import annotations

from dataclasses import dataclass

from lab.host.happenings import Process
from lab.machine import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A host as its own records name it.

    `computer` is the full name in `System/Computer`; `realm` the domain as Kerberos spells it (LAB.EXAMPLE). `machine_account`
    is the host's account in its domain, which stands for SYSTEM in Security records (WS6$ of LAB). `system` is the kernel's process 4;
    `lsass_pid`, `services_pid`, `winrm_pid` and `sysmon_pid` are the processes that log logons, services, remote shells and Sysmon's
    events. `machine_id` is the first part of every Sysmon guid of this machine (32 bits); `filter_id` the run-time id of the firewall's
    filter that lets WinRM in.
    """

    computer: str
    realm: str
    machine_account: Account
    system: Process
    lsass_pid: int
    services_pid: int
    winrm_pid: int
    sysmon_pid: int
    machine_id: int
    filter_id: int
