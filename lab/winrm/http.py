"""One TCP connection of a client: TLS where its listener has it, HTTP by h11, the security context that belongs to it, its logon.

The only module that reads and writes connections' sockets. What an envelope means is the service's affair.
"""

from __future__ import annotations

import binascii
import logging
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from time import monotonic
from typing import Final

import h11

from lab.machine import Account, Credential, Logon, Machine, Package, Peer
from lab.winrm.auth import Access, Accounts, Garbled, Refused, Scheme, SecurityContext, begins_exchange
from lab.winrm.outbox import ClientGone
from lab.winrm.service import Client, Reply, Service, Tally
from lab.winrm.tls import Identity
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


_PATHS: Final = (b"/wsman", b"/wsman-anon/identify")
"""Where the service is, and where anybody may ask what it is."""

_BY_CERTIFICATE: Final = b"http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_OFFERS: Final = {
    Scheme.NEGOTIATE: "Negotiate",
    Scheme.KERBEROS: "Kerberos",
    Scheme.CREDSSP: "CredSSP",
    Scheme.BASIC: 'Basic realm="WSMAN"',
}


def _path(target: bytes) -> bytes:
    """The path of a request's target, which may be a whole URL where it came by a proxy [RFC 9112 3.2.2]."""
    path = target.partition(b"?")[0]
    if path.lower().startswith((b"http://", b"https://")):
        path = b"/" + path.partition(b"//")[2].partition(b"/")[2]
    return path.rstrip(b"/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What the connections of an endpoint have in common: who is let in and how, and the identity for TLS with its settings."""

    access: Access
    accounts: Accounts
    identity: Identity | None = None
    tls: ssl.SSLContext | None = None


class Connection:
    """Serves one connection to its end, on the thread that calls `serve`. TLS where `peer` came to the listener for it."""

    def __init__(self, sock: socket.socket, peer: Peer, *, machine: Machine, security: Security, service: Service, tally: Tally) -> None:
        self._socket = sock
        self._peer = peer
        self._machine = machine
        self._security = security
        self._service = service
        self._tally = tally
        self._http = h11.Connection(h11.SERVER)
        self._context: SecurityContext | None = None
        self._proof = b""
        self._account: Account | None = None
        self._logon: Logon | None = None

    def serve(self) -> None:
        """Answer requests until either side has had enough. Raises nothing; the socket is closed and the logon ended afterwards."""
        try:
            self._machine.connected(self._peer)
            self._shake_hands()
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
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not TLS's own, which is another thread's affair

    def _shake_hands(self) -> None:
        if self._peer.secure and self._security.tls is not None:
            self._socket = self._security.tls.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket.settimeout(_PATIENCE)
            self._socket.do_handshake()

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
        path = _path(request.target).lower()
        if path not in _PATHS:
            self._answer(404)
        elif request.method != b"POST":
            self._answer(405, headers=[("Allow", "POST")])
        else:
            self._answer_post(request, body, anonymous=path != _PATHS[0])
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def _answer_post(self, request: h11.Request, body: bytes, *, anonymous: bool) -> None:
        headers = dict(request.headers)
        if body and (anonymous or headers.get(b"wsmanidentify", b"").lower() == b"unauthenticated"):
            reply = self._service.identify(body)
            if reply is not None:
                self._answer_plainly(reply, [])
                return
        challenge: list[tuple[str, str]] = []
        authorization = headers.get(b"authorization")
        if authorization is not None:
            try:
                challenge = self._authenticate(authorization)
            except Refused as refused:
                self._refuse(refused, authorization)
                return
        if self._account is None or self._logon is None:
            # With an unfinished exchange this is the next leg; a body that came along is not looked at before its end.
            self._answer(401, headers=challenge or self._offers())
            return
        if not body:
            self._answer(200, headers=challenge)
            return
        context = self._context
        if context is not None and context.is_encrypted(headers.get(b"content-type", b"").decode("latin-1")):
            self._answer_sealed(context, body, challenge)
        elif self._peer.secure or self._security.access.allow_unencrypted:
            self._answer_plainly(self._reply(body), challenge)
        else:
            self._answer(500)  # AllowUnencrypted is false, as by default: Windows answers with an empty 500

    def _answer_plainly(self, reply: Reply, challenge: list[tuple[str, str]]) -> None:
        headers = [*challenge, ("Content-Type", f"application/soap+xml;charset={reply.encoding}")]
        self._answer(500 if reply.is_fault else 200, headers=headers, body=reply.envelope)

    def _answer_sealed(self, context: SecurityContext, body: bytes, challenge: list[tuple[str, str]]) -> None:
        try:
            envelope = context.unseal(body)
        except Garbled:
            self._dismiss(400)
            return
        reply = self._reply(envelope)
        content_type, sealed = context.seal(reply.envelope, reply.encoding)
        self._answer(500 if reply.is_fault else 200, headers=[*challenge, ("Content-Type", content_type)], body=sealed)

    def _reply(self, envelope: bytes) -> Reply:
        assert self._account is not None
        assert self._logon is not None
        client = Client(account=self._account, logon=self._logon, ip=self._peer.ip, still_there=self._still_there)
        return self._service.handle(envelope, client)

    # --- authentication -------------------------------------------------------------------------------------------------------

    def _offers(self) -> list[tuple[str, str]]:
        """The schemes that a 401 names; a certificate is never asked for by name."""
        return [("WWW-Authenticate", text) for scheme, text in _OFFERS.items() if scheme in self._security.access.schemes]

    def _authenticate(self, authorization: bytes) -> list[tuple[str, str]]:
        """One leg of a logon; the header that goes with the answer. Raises `Refused`."""
        word, _, text = authorization.partition(b" ")
        if authorization.strip().lower() == _BY_CERTIFICATE:
            self._require(Scheme.CERTIFICATE)
            shown = self._socket.getpeercert(True) if isinstance(self._socket, ssl.SSLSocket) else None
            self._log_on_by(authorization, self._security.accounts.by_certificate(shown))
            return []
        scheme = next((one for one in _OFFERS if one.lower().encode() == word.lower()), None)
        if scheme is None:
            raise Refused("not a scheme of this endpoint")
        self._require(scheme)
        try:
            token = binascii.a2b_base64(text.strip(), strict_mode=True)
        except binascii.Error:
            raise Refused("not base64") from None
        if not token:
            raise Refused("no token")
        if scheme is Scheme.BASIC:
            self._log_on_by(authorization, self._security.accounts.by_password(token))
            return []
        answer = self._negotiate(scheme, token)
        return [_proof(scheme, answer)] if answer else []

    def _refuse(self, refused: Refused, authorization: bytes) -> None:
        self._forget()
        self._tally.refused()
        word = authorization.partition(b" ")[0].decode("latin-1")
        if refused.claim is not None:
            self._machine.log_on_refused(refused.claim, Package.BASIC if word.lower() == Scheme.BASIC.lower() else Package.NTLM)
        self._answer(401, headers=[_proof(word, refused.answer)] if refused.answer else self._offers())

    def _require(self, scheme: Scheme) -> None:
        if scheme not in self._security.access.schemes:
            raise Refused("a scheme that is switched off")

    def _log_on_by(self, proof: bytes, account: Account) -> None:
        """Who shows a password or a certificate does so with every request: only what is new is a logon."""
        if self._proof != proof:
            self._forget()
            # A certificate, too, is mapped to a password that WinRM keeps and logs on with.
            self._log_on(account, Package.BASIC)
            self._proof = proof

    def _negotiate(self, scheme: Scheme, token: bytes) -> bytes | None:
        """One leg of an exchange. A token on an authenticated connection begins a new one, and so does a first token at any time: a client
        that spreads its requests over several connections may have left an exchange half done on this one. Raises `Refused`.
        """
        if self._context is None or self._account is not None or (scheme is not Scheme.CREDSSP and begins_exchange(token)):
            self._forget()
            identity = self._security.identity
            self._context = SecurityContext(
                self._security.accounts,
                scheme,
                binding=identity.channel_binding if self._peer.secure and identity is not None else None,
                level=self._security.access.channel_binding,
            )
        answer = self._context.step(token)
        if self._context.account is not None:
            self._log_on(self._context.account, self._context.package, self._context.delegated)
        return answer

    def _log_on(self, account: Account, package: Package, delegated: Credential | None = None) -> None:
        self._logon = self._machine.log_on(self._peer, account, package, delegated)
        self._account = account
        self._tally.logged_on()

    def _forget(self) -> None:
        self._log_off()
        self._context = None
        self._account = None
        self._proof = b""

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
            return socket.socket.recv(self._socket, 1, socket.MSG_PEEK) != b""  # below TLS, which cannot peek
        except BlockingIOError:
            return True
        except OSError:
            return False


def _proof(scheme: str, token: bytes) -> tuple[str, str]:
    """The header that carries a scheme's token to the client [RFC 4559]."""
    return "WWW-Authenticate", f"{scheme} {binascii.b2a_base64(token, newline=False).decode()}"
