"""What a WinRM service tells of itself: its settings as `winrm get winrm/config` shows them, its listeners, what it is. Pure.

The elements and their order are those of [MS-WSMV 2.2.4.10, 2.2.4.34, 2.2.4.42, 2.2.4.20]; values are this endpoint's own, and Windows'
defaults where the endpoint has no such thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_CONFIG: Final = "http://schemas.microsoft.com/wbem/wsman/1/config"
_IDENTITY: Final = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
_WSMAN: Final = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
_VERSION: Final = "OS: 10.0.19041 SP: 0.0 Stack: 3.0"
_VERSION_FOR_ANYBODY: Final = "OS: 0.0.0 SP: 0.0 Stack: 3.0"
_AUTHENTICATION: Final = ("Basic", "Kerberos", "Negotiate", "Certificate", "CredSSP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How much there may be of what; the defaults are Windows'. `max_shells` is one user's, `max_processes` one command shell's."""

    max_shells: int = 30
    max_processes: int = 25
    max_users: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where the service listens: HTTP or HTTPS, a port, and the address as it was given."""

    transport: str
    port: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be asked for. `schemes` are names of schemes that are on; `idle_timeout` is in seconds."""

    schemes: frozenset[str]
    allow_unencrypted: bool
    channel_binding: str
    idle_timeout: float
    quotas: Quotas


def identify(*, authenticated: bool) -> str:
    """The answer to Identify [DSP0226 11, MS-WSMV 3.1.4.1.29]: who is not logged on is not told the version of Windows."""
    return (
        f'<i:IdentifyResponse xmlns:i="{_IDENTITY}"><i:ProtocolVersion>{_WSMAN}</i:ProtocolVersion>'
        "<i:ProductVendor>Microsoft Corporation</i:ProductVendor>"
        f"<i:ProductVersion>{_VERSION if authenticated else _VERSION_FOR_ANYBODY}</i:ProductVersion></i:IdentifyResponse>"
    )


def listener(one: Listener) -> str:
    """A cfg:Listener."""
    address = "*" if one.address in ("0.0.0.0", "::") else f"IP:{one.address}"  # noqa: S104 - compared, not bound
    return _element(
        "Listener",
        {
            "Address": address,
            "Transport": one.transport,
            "Port": one.port,
            "Hostname": "",
            "Enabled": True,
            "URLPrefix": "wsman",
            "CertificateThumbprint": "",
            "ListeningOn": one.address,
        },
        outermost=True,
    )


def settings(held: Settings, part: str) -> str:
    """A cfg:Config, or one part of it by its path in lower case."""
    every = _all(held)
    if not part:
        return _element("Config", every, outermost=True)
    found: Mapping[str, object] = every
    name = ""
    for step in part.split("/"):
        name = next(one for one in found if one.lower() == step)
        below = found[name]
        assert isinstance(below, Mapping)
        found = below
    return _element(name, found, outermost=True)


def _all(held: Settings) -> dict[str, object]:
    ports = {"HTTP": 5985, "HTTPS": 5986}
    auth: dict[str, object] = {name: name in held.schemes for name in _AUTHENTICATION}
    return {
        "MaxEnvelopeSizekb": 500,
        "MaxTimeoutms": 60_000,
        "MaxBatchItems": 32_000,
        "MaxProviderRequests": 4_294_967_295,
        "Client": {
            "NetworkDelayms": 5_000,
            "URLPrefix": "wsman",
            "AllowUnencrypted": False,
            "Auth": {"Basic": True, "Digest": True, "Kerberos": True, "Negotiate": True, "Certificate": True, "CredSSP": False},
            "DefaultPorts": ports,
            "TrustedHosts": "",
        },
        "Service": {
            "RootSDDL": "O:NSG:BAD:P(A;;GA;;;BA)(A;;GR;;;IU)S:P(AU;FA;GA;;;WD)(AU;SA;GXGW;;;WD)",
            "MaxConcurrentOperations": 4_294_967_295,
            "MaxConcurrentOperationsPerUser": 1_500,
            "EnumerationTimeoutms": 240_000,
            "MaxConnections": 300,
            "MaxPacketRetrievalTimeSeconds": 120,
            "AllowUnencrypted": held.allow_unencrypted,
            "Auth": auth | {"CbtHardeningLevel": held.channel_binding},
            "DefaultPorts": ports,
            "IPv4Filter": "*",
            "IPv6Filter": "*",
            "EnableCompatibilityHttpListener": False,
            "EnableCompatibilityHttpsListener": False,
            "CertificateThumbprint": "",
            "AllowRemoteAccess": True,
        },
        "Winrs": {
            "AllowRemoteShellAccess": True,
            "IdleTimeout": int(held.idle_timeout * 1000),
            "MaxConcurrentUsers": held.quotas.max_users,
            "MaxShellRunTime": 2_147_483_647,
            "MaxProcessesPerShell": held.quotas.max_processes,
            "MaxMemoryPerShellMB": 2_147_483_647,
            "MaxShellsPerUser": held.quotas.max_shells,
        },
    }


def _element(name: str, content: object, *, outermost: bool = False) -> str:
    space = f' xmlns:cfg="{_CONFIG}"' if outermost else ""
    match content:
        case Mapping():
            inner = "".join(_element(one, below) for one, below in content.items())
        case bool():
            inner = str(content).lower()
        case _:
            inner = escape(str(content))
    return f"<cfg:{name}{space}>{inner}</cfg:{name}>"
