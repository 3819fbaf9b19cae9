"""The transport as the engine sees it: sessions opened, each on connections of its own."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import AuthenticationFailed, ConnectFailed, TransportError
from harness.model.facts import Identity
from harness.model.intent import Action, Target
from harness.ports import Clock
from harness.transports.psrp.client import Client, Credential, Timeouts
from harness.transports.psrp.session import PsrpSession, seen_sockets


class PsrpTransport:
    """`harness.ports.Transport` over PowerShell Remoting (WinRM, PSRP), on pypsrp.

    `credentials` and `addresses` go by the target's name. Its address is the one place that a target is connected to: what was vetted
    is what is used, and no name is looked up again; the host's name stays what is asked for. A target without one is not connected to.
    """

    def __init__(
        self,
        *,
        credentials: Mapping[str, Credential],
        clock: Clock,
        addresses: Mapping[str, str],
        timeouts: Timeouts | None = None,
    ) -> None:
        self._credentials = credentials
        self._addresses = addresses
        self._clock = clock
        self._timeouts = timeouts or Timeouts()

    def open(self, target: Target, action: Action) -> PsrpSession:
        """See `harness.ports.Transport.open`."""
        credential = self._credentials.get(target.name)
        if credential is None:
            raise AuthenticationFailed(f"{target.name}: there are no credentials for it")
        address = self._addresses.get(target.name)
        if address is None:
            raise ConnectFailed(f"{target.name}: {target.host} has no address")
        client = Client(
            target=target,
            credential=credential,
            address=address,
            clock=self._clock,
            timeouts=self._timeouts,
        )
        try:
            client.open()
        except TransportError as error:
            client.close()
            error.identity = Identity(sockets=seen_sockets(client.sockets, target.seen_from))
            raise
        return PsrpSession(
            client=client,
            action=action,
            seen_from=target.seen_from,
            scrub=credential.scrub,
            identify_within=self._timeouts.identify,
            clock=self._clock,
        )
