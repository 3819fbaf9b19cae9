"""A program of this host as a client of another host's WinRM: how it gets there, as whom, and what it is told where it does not.

The names and texts of errors are those of WSMan's client in Windows. A session without credentials that may travel on is nobody's
elsewhere (the second hop). It knows no PowerShell and no wire; where hosts are is the network's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from lab.host.happenings import Connection, CredentialUse, Process
from lab.host.model import Host
from lab.machine import Account, Credential, Neighbour, Passage, RemoteFault, RemoteScheme, Trouble

MAX_DEPTH = 5
"""Sessions that may stand on each other: a loop of hosts that call each other ends here."""
_HERE = ("localhost", ".", "127.0.0.1", "::1")

_TROUBLES = {
    Trouble.UNREACHABLE: (
        "CannotConnect",
        "The client cannot connect to the destination specified in the request. Verify that the service on the destination is running "
        "and is accepting requests. Consult the logs and documentation for the WS-Management service running on the destination, most "
        "commonly IIS or WinRM. If the destination is the WinRM service, run the following command on the destination to analyze and "
        'configure the WinRM service: "winrm quickconfig".',
    ),
    Trouble.ACCESS_DENIED: ("AccessDenied", "Access is denied."),
    Trouble.BAD_CREDENTIALS: ("LogonFailure", "The user name or password is incorrect."),
    Trouble.QUOTA: (
        "QuotaLimit",
        "The WS-Management service cannot process the request. This user is allowed a maximum number of concurrent shells, which has been "
        "exceeded. Close existing shells or raise the quota for this user.",
    ),
    Trouble.BROKEN: (
        "WinRMOperationAborted",
        "The I/O operation has been aborted because of either a thread exit or an application request.",
    ),
}


class NotThere(Exception):
    """There is no session with that computer: WSMan's client says so with this name of the error and this text."""

    def __init__(self, computer: str, name: str, text: str) -> None:
        super().__init__(text)
        self.computer = computer
        self.name = name
        self.text = text


class ChainTooLong(Exception):
    """One session more than `MAX_DEPTH` would stand on each other."""

    def __init__(self) -> None:
        super().__init__(f"a chain of more than {MAX_DEPTH} remote sessions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a remote computer is asked for: by the parameters that the remoting cmdlets share. `port` 0 is WinRM's own."""

    credential: Credential | None = None
    scheme: RemoteScheme = RemoteScheme.NEGOTIATE
    secure: bool = False
    port: int = 0


def passage(host: Host, process: Process, computer: str, way: Way) -> Passage:
    """The way to a computer for a client in this process. Raises `NotThere`, `ChainTooLong`.

    A logon that another machine has of somebody proves nothing to a third: without credentials, given or delegated, it is nobody's.
    """
    if process.logon.depth >= MAX_DEPTH:
        raise ChainTooLong
    to, local = _find(host, computer, way)
    source = "::1" if local else host.ip
    destination = "::1" if local else to.ip
    default = 5986 if way.secure else 5985

    def connected(port: int) -> None:
        if host.witness is not None:
            host.witness.connected(
                Connection(
                    source_ip=source,
                    source_port=port,
                    destination_ip=destination,
                    destination_port=way.port or default,
                    initiated=True,
                    owner=process,
                )
            )

    if way.credential is not None and host.witness is not None:
        guid = host.new_uuid() if way.scheme is RemoteScheme.KERBEROS else None
        use = CredentialUse(process=process, target=_account(way.credential.user), server=computer, guid=guid)
        host.witness.credentials_used(use)
    return Passage(
        to=to,
        source_ip=source,
        depth=process.logon.depth + 1,
        connected=connected,
        secure=way.secure,
        port=way.port,
        scheme=way.scheme,
        credential=way.credential if way.credential is not None else process.logon.delegated,
    )


def _find(host: Host, computer: str, way: Way) -> tuple[Neighbour, bool]:
    if computer.lower() in _HERE:
        found = host.network.find(host.fqdn) if host.network is not None else None
        if found is None:
            raise _unreachable(computer)
        return found, True
    if _is_address(computer) and not way.secure:
        raise NotThere(
            computer,
            "CannotUseIPAddress",
            "The WinRM client cannot process the request. Default authentication may be used with an IP address under the following "
            "conditions: the transport is HTTPS or the destination is in the TrustedHosts list, and explicit credentials are provided. Use "
            "winrm.cmd to configure TrustedHosts. Note that computers in the TrustedHosts list might not be authenticated. For more "
            "information on how to set TrustedHosts run the following command: winrm help config.",
        )
    if way.scheme is RemoteScheme.BASIC and not way.secure:
        raise NotThere(
            computer,
            "UnencryptedTrafficDisabled",
            "The WinRM client cannot process the request. Unencrypted traffic is currently disabled in the client configuration. "
            "Change the client configuration and try the request again.",
        )
    found = host.network.find(computer) if host.network is not None else None
    if found is None:
        raise NotThere(
            computer, "ComputerNotFound", "The WinRM client cannot process the request because the server name cannot be resolved."
        )
    return found, False


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _unreachable(computer: str) -> NotThere:
    name, text = _TROUBLES[Trouble.UNREACHABLE]
    return NotThere(computer, name, text)


def failed(computer: str, fault: RemoteFault, asked: Passage) -> NotThere:
    """What a client says where the network had no session for it. Nobody's wrong password is no password: access is denied."""
    trouble = fault.trouble
    if trouble is Trouble.BAD_CREDENTIALS and asked.credential is None:
        trouble = Trouble.ACCESS_DENIED
    name, text = _TROUBLES[trouble]
    return NotThere(computer, name, text)


def _account(user: str) -> Account:
    domain, _, name = user.rpartition("\\")
    if not domain:
        name, _, domain = user.partition("@")
    return Account(domain=domain, name=name, sid="S-1-0-0")
