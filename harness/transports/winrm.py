"""The transport as the engine sees it: sessions opened on targets, each on connections of its own, in the kind of shell that its action
needs."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import AuthenticationFailed, ConnectFailed, TransportError
from harness.model.facts import Identity
from harness.model.intent import Action, Channel, Remoting, Target, remoting
from harness.ports import Clock
from harness.transports.credential import Credential, Timeouts
from harness.transports.line import Line, seen_sockets
from harness.transports.psrp.client import Client as PsrpClient
from harness.transports.psrp.jump import JumpSession
from harness.transports.psrp.session import PsrpSession
from harness.transports.winrs.client import Client as WinrsClient
from harness.transports.winrs.session import WinrsSession


class WinrmTransport:
    """`harness.ports.Transport` over WinRM: PowerShell Remoting on pypsrp, the Windows Remote Shell on pywinrm.

    `credentials`, `channels` and `addresses` go by the target's name. Its address is the one place that a target is connected to: what was
    vetted is what is used, and no name is looked up again; the host's name stays what is asked for. A target without one is not connected
    to; one without a channel is spoken to in the usual way.
    """

    def __init__(
        self,
        *,
        credentials: Mapping[str, Credential],
        clock: Clock,
        addresses: Mapping[str, str],
        channels: Mapping[str, Channel] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._credentials = credentials
        self._channels = channels or {}
        self._addresses = addresses
        self._clock = clock
        self._timeouts = timeouts or Timeouts()

    def open(self, target: Target, action: Action) -> PsrpSession | WinrsSession | JumpSession:
        """See `harness.ports.Transport.open`."""
        if target.via is not None:
            return self._open_by_way_of(target.via, target, action)
        line = self._line(target)
        client = WinrsClient(line, action) if remoting(action) is Remoting.WINRS else PsrpClient(line)
        try:
            client.open()
        except TransportError as error:
            client.close()
            error.identity = Identity(sockets=seen_sockets(line.sockets, target.seen_from))
            raise
        if isinstance(client, WinrsClient):
            return WinrsSession(client=client, action=action, seen_from=target.seen_from, clock=self._clock)
        return PsrpSession(client=client, action=action, seen_from=target.seen_from, clock=self._clock)

    def _open_by_way_of(self, via: Target, target: Target, action: Action) -> JumpSession:
        line = self._line(via)
        client = PsrpClient(line)
        session = JumpSession(
            client=client,
            target=target,
            address=self._address(target),
            credential=self._credential(target),
            action=action,
            clock=self._clock,
        )
        try:
            client.open()
            session.open()
        except TransportError as error:
            session.close()
            error.identity = session.identity
            raise
        return session

    def _credential(self, target: Target) -> Credential:
        credential = self._credentials.get(target.name)
        if credential is None:
            raise AuthenticationFailed(f"{target.name}: there are no credentials for it")
        return credential

    def _address(self, target: Target) -> str:
        address = self._addresses.get(target.name)
        if address is None:
            raise ConnectFailed(f"{target.name}: {target.host} has no address")
        return address

    def _line(self, target: Target) -> Line:
        return Line(
            target=target,
            credential=self._credential(target),
            channel=self._channels.get(target.name, Channel()),
            address=self._address(target),
            clock=self._clock,
            timeouts=self._timeouts,
        )
