"""One TCP connection of a client: HTTP by h11, the security context that belongs to it, its logon on the machine.

The only module that reads and writes connections' sockets. What an envelope means is the service's affair.
"""

from __future__ import annotations

import binascii
import logging
import socket
from contextlib import suppress
from email.utils import formatdate
from time import monotonic
from typing import Final

import h11

from lab.machine import Logon, Machine, Peer
from lab.winrm.auth import Accounts, Garbled, Refused, SecurityContext, is_encrypted
from lab.winrm.outbox import ClientGone
from lab.winrm.service import Client, Service, Tally
from lab.winrm.wsman import MAX_ENVELOPE

_LOG = logging.getLogger(__name__)

MAX_BODY: Final = MAX_ENVELOPE + 16_384
"""Bytes of a request body: an envelope and what its encryption adds."""

_PATIENCE: Final = 30.0
"""Seconds within which a request, once begun, must be complete, and a new connection must have begun one."""

_LINGER: Final = 2.0
"""Seconds for a dismissed client to stop talking."""

_CHUNK: Final = 65_536


class _Gone(Exception):
    """There is no talking to this client any more; the connection is closed without another word."""


class _TooLarge(Exception):
    """The body is larger than any envelope."""


class Connection:
    """Serves one connection to its end, on the thread that calls `serve`."""

    def __init__(self, sock: socket.socket, peer: Peer, *, machine: Machine, accounts: Accounts, service: Service, tally: Tally) -> None:
        self._socket = sock
        self._peer = peer
        self._machine = machine
        self._accounts = accounts
        self._service = service
        self._tally = tally
        self._http = h11.Connection(h11.SERVER)
        self._context: SecurityContext | None = None
        self._logon: Logon | None = None

    def serve(self) -> None:
        """Answer requests until either side has had enough. Raises nothing; the socket is closed and the logon ended afterwards."""
        try:
            self._machine.connected(self._peer)
            while self._serve_one():
                self._http.start_next_cycle()
        except (_Gone, ClientGone, OSError):
            pass  # a client may leave at any time and in any manner
        except Exception as error:  # noqa: BLE001 - the edge of the thread: one client's misfortune must not become another's
            _LOG.error("connection from %s: %r", self._peer.ip, error)
        finally:
            self._log_off()
            self._socket.close()

    def hang_up(self) -> None:
        """End the connection from another thread."""
        with suppress(OSError):  # it may have gone by itself
            self._socket.shutdown(socket.SHUT_RDWR)

    # --- one request --------------------------------------------------------------------------------------------------------

    def _serve_one(self) -> bool:
        """Read and answer one request; whether there may be another."""
        try:
            request, body = self._read_request()
        except h11.RemoteProtocolError as error:
            self._dismiss(error.error_status_hint)
            return False
        except _TooLarge:
            self._dismiss(413)
            return False
        if request.target.partition(b"?")[0].rstrip(b"/") != b"/wsman":
            self._answer(404)
        elif request.method != b"POST":
            self._answer(405, headers=[("Allow", "POST")])
        else:
            self._answer_post(request, body)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def _answer_post(self, request: h11.Request, body: bytes) -> None:
        headers = dict(request.headers)
        challenge: list[tuple[str, str]] = []
        authorization = headers.get(b"authorization")
        if authorization is not None:
            try:
                answer = self._negotiate(authorization)
            except Refused:
                self._forget()
                self._tally.refused()
                self._answer(401, headers=[("WWW-Authenticate", "Negotiate")])
                return
            challenge = _challenge(answer) if answer else []
        if self._context is None or self._context.account is None or self._logon is None:
            # With an unfinished exchange this is the next leg; a body that came along is not looked at before its end.
            self._answer(401, headers=challenge or [("WWW-Authenticate", "Negotiate")])
            return
        if not body:
            self._answer(200, headers=challenge)
            return
        if not is_encrypted(headers.get(b"content-type", b"").decode("latin-1")):
            self._answer(500)  # AllowUnencrypted is false, as by default: Windows answers with an empty 500
            return
        self._answer_envelope(self._context, self._logon, body)

    def _answer_envelope(self, context: SecurityContext, logon: Logon, body: bytes) -> None:
        assert context.account is not None
        try:
            envelope = context.unseal(body)
        except Garbled:
            self._dismiss(400)
            return
        client = Client(account=context.account, logon=logon, ip=self._peer.ip, still_there=self._still_there)
        reply = self._service.handle(envelope, client)
        content_type, sealed = context.seal(reply.envelope)
        self._answer(500 if reply.is_fault else 200, headers=[("Content-Type", content_type)], body=sealed)

    # --- authentication -------------------------------------------------------------------------------------------------------

    def _negotiate(self, authorization: bytes) -> bytes | None:
        """One leg of the exchange. A token on an authenticated connection begins a new one. Raises `Refused`."""
        scheme, _, text = authorization.partition(b" ")
        if scheme.lower() != b"negotiate":
            raise Refused("not a scheme of this endpoint")
        try:
            token = binascii.a2b_base64(text.strip(), strict_mode=True)
        except binascii.Error:
            raise Refused("not base64") from None
        if not token:
            raise Refused("no token")
        if self._context is None or self._context.account is not None:
            self._forget()
            self._context = SecurityContext(self._accounts)
        answer = self._context.step(token)
        if self._context.account is not None:
            self._logon = self._machine.log_on(self._peer, self._context.account, self._context.package)
            self._tally.logged_on()
        return answer

    def _forget(self) -> None:
        self._log_off()
        self._context = None

    def _log_off(self) -> None:
        logon, self._logon = self._logon, None
        if logon is not None:
            logon.log_off()

    # --- the wire ---------------------------------------------------------------------------------------------------------------

    def _read_request(self) -> tuple[h11.Request, bytes]:
        # Between requests an authenticated client may be silent for as long as its shells live: its session would not survive
        # the loss of the connection. Everybody else, and everybody within a request, is expected to get on with it.
        deadline: float | None = None if self._logon is not None else monotonic() + _PATIENCE
        request: h11.Request | None = None
        chunks: list[bytes] = []
        size = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                data = self._receive(deadline)
                if deadline is None:
                    deadline = monotonic() + _PATIENCE
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
                announced = next((value for name, value in event.headers if name == b"content-length"), b"0")
                if len(announced) > 9 or int(announced) > MAX_BODY:
                    raise _TooLarge
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > MAX_BODY:
                    raise _TooLarge
                chunks.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return request, b"".join(chunks)
            else:  # the end of the connection, or a change of protocol
                raise _Gone

    def _receive(self, deadline: float | None) -> bytes:
        if deadline is None:
            self._socket.settimeout(None)
        else:
            left = deadline - monotonic()
            if left <= 0:
                raise _Gone
            self._socket.settimeout(left)
        return self._socket.recv(_CHUNK)

    def _answer(self, status: int, *, headers: list[tuple[str, str]] | None = None, body: bytes = b"") -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise _Gone
        fields = [("Server", "Microsoft-HTTPAPI/2.0"), ("Date", formatdate(usegmt=True)), ("Content-Length", str(len(body)))]
        response = h11.Response(status_code=status, headers=fields + (headers or []))
        self._send(response, h11.Data(data=body), h11.EndOfMessage())

    def _dismiss(self, status: int) -> None:
        """Answer for the last time. What the client still sends is read away for a moment: closing over it would take the answer along."""
        self._answer(status, headers=[("Connection", "close")])
        self._socket.shutdown(socket.SHUT_WR)
        deadline = monotonic() + _LINGER
        while self._receive(deadline):
            pass

    def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        self._socket.settimeout(_PATIENCE)
        self._socket.sendall(data)

    def _still_there(self) -> bool:
        self._socket.settimeout(0)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


def _challenge(token: bytes) -> list[tuple[str, str]]:
    return [("WWW-Authenticate", "Negotiate " + binascii.b2a_base64(token, newline=False).decode())]
