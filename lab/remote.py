"""A host of the lab as the client of another one: pypsrp's WSMan on a connection of its own, psrpcore's client side above it.

Everything on the wire is real: the connection, its port, the logon, the messages. Where it goes is the network's table alone; a name is
never looked up. Every wait ends: operations are asked for a second at a time, so that whoever waits may stop.
"""

from __future__ import annotations

import base64
import socket
import struct
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from typing import Any, Final, cast
from uuid import UUID

import psrpcore
import requests
from psrpcore import types as ps
from pypsrp.exceptions import AuthenticationError, WinRMError, WinRMTransportError, WSManFaultError
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import OptionSet, WSMan
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from spnego.exceptions import SpnegoError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from lab.machine import (
    Caller,
    CommandIO,
    Credential,
    ErrorRecord,
    Passage,
    PipelineIO,
    PipelineRequest,
    PipelineStopped,
    PSObject,
    PSValue,
    RemoteFault,
    RemoteScheme,
    SecureString,
    StreamName,
    Trouble,
)
from lab.network import LabNetwork
from lab.psrpcore_values import from_wire, read_error_record, to_wire

_POWERSHELL_URI: Final = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
_AGENT: Final = "Microsoft WinRM Client"
_CONNECT_WITHIN: Final = 10
_ANSWER_WITHIN: Final = 30
_PATIENCE: Final = 1  # seconds of one operation: how late a stop may come
_STOP_POLLS: Final = 5
_FRAGMENT: Final = 32_768
_OPERATION_TIMED_OUT: Final = 2150858793
_QUOTA: Final = frozenset({2150859173, 2150859174})  # shells of a user, of all users
_UNAUTHORIZED: Final = 401
_IDENTIFY: Final = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    b"<s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"
)
_UNKNOWN_VERSION: Final = "OS: 0.0.0 SP: 0.0 Stack: 3.0"  # what Windows tells who did not log on

_SCHEMES: Final = {
    RemoteScheme.NEGOTIATE: "ntlm",
    RemoteScheme.KERBEROS: "kerberos",
    RemoteScheme.CREDSSP: "credssp",
    RemoteScheme.BASIC: "basic",
}

# Two WSMan objects made at once disturb each other's XML prefixes in ElementTree's table of the process.
_REGISTERING: Final = threading.Lock()

_GARBLED = (psrpcore.PSRPCoreError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError, struct.error)
_STREAMS: Final = (
    (psrpcore.WarningRecordEvent, StreamName.WARNING),
    (psrpcore.VerboseRecordEvent, StreamName.VERBOSE),
    (psrpcore.DebugRecordEvent, StreamName.DEBUG),
)


class _Route:
    """The connections of one passage: real sockets, known to the network by their port before the other side sees them."""

    def __init__(self, network: LabNetwork, passage: Passage) -> None:
        self._network = network
        self._passage = passage
        self._claims = ExitStack()
        self._address, self._port = network.door(passage)

    def open(self) -> socket.socket:
        """A new connection."""
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_CONNECT_WITHIN)
            sock.bind((self._address, 0))
            port = sock.getsockname()[1]
            caller = Caller(ip=self._passage.source_ip, depth=self._passage.depth)
            self._claims.enter_context(self._network.calling(self._address, port, caller))
            sock.connect((self._address, self._port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._passage.connected(port)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Its connections have ended."""
        self._claims.close()


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, route: _Route, **kwargs: Any) -> None:
        self._route = route
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return self._route.open()


class _TLSConnection(HTTPSConnection):
    def __init__(self, *args: Any, route: _Route, **kwargs: Any) -> None:
        self._route = route
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return self._route.open()


class _Adapter(HTTPAdapter):
    def __init__(self, route: _Route) -> None:
        self._route = route
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": self._http_pool, "https": self._https_pool}

    def _http_pool(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = HTTPConnectionPool(*args, **kwargs)
        pool.ConnectionCls = cast(type[_Connection], partial(_Connection, route=self._route))
        return pool

    def _https_pool(self, *args: Any, **kwargs: Any) -> HTTPSConnectionPool:
        pool = HTTPSConnectionPool(*args, **kwargs)
        pool.ConnectionCls = cast(type[_TLSConnection], partial(_TLSConnection, route=self._route))
        return pool


@contextmanager
def _faults(*, open_yet: bool) -> Iterator[None]:
    """What the libraries raise, as `RemoteFault`. `open_yet`: the session was there."""
    try:
        yield
    except (AuthenticationError, SpnegoError):
        raise RemoteFault(Trouble.BAD_CREDENTIALS) from None
    except WSManFaultError as fault:
        raise RemoteFault(Trouble.QUOTA if fault.code in _QUOTA else Trouble.BROKEN if open_yet else Trouble.ACCESS_DENIED) from None
    except WinRMTransportError as error:
        refused = error.code == _UNAUTHORIZED
        raise RemoteFault(Trouble.BAD_CREDENTIALS if refused else Trouble.BROKEN if open_yet else Trouble.ACCESS_DENIED) from None
    except (WinRMError, RequestException, HTTPError, HTTPException, OSError):
        raise RemoteFault(Trouble.BROKEN if open_yet else Trouble.UNREACHABLE) from None
    except _GARBLED:
        raise RemoteFault(Trouble.BROKEN) from None
    except Exception as error:
        # These libraries derive their errors from Exception alone.
        if not type(error).__module__.startswith(("requests_credssp", "krb5", "gssapi")):
            raise
        raise RemoteFault(Trouble.BAD_CREDENTIALS) from None


def _user(passage: Passage, credential: Credential) -> str:
    """The account as the scheme wants it spelt: a KDC knows name@REALM alone, the realm being the domain in which the lab's hosts are."""
    domain, _, name = credential.user.rpartition("\\")
    if passage.scheme is not RemoteScheme.KERBEROS or "@" in name or not domain:
        return credential.user
    return f"{name}@{passage.to.fqdn.partition('.')[2].upper()}"


class _Line:
    """A WSMan object over one route."""

    def __init__(self, network: LabNetwork, passage: Passage) -> None:
        self._route = _Route(network, passage)
        # Nobody is a client without credentials: it tries as nobody and is not let in.
        credential = passage.credential
        with _REGISTERING:
            self.wsman = WSMan(
                passage.to.fqdn,
                port=5986 if passage.secure else 5985,
                username=_user(passage, credential) if credential is not None else "ANONYMOUS LOGON",
                password=credential.password if credential is not None else "",
                ssl=passage.secure,
                auth=_SCHEMES[passage.scheme],
                cert_validation=False,  # the lab's own endpoint, by its table; its certificate is its own
                no_proxy=True,
                operation_timeout=_ANSWER_WITHIN - 10,
                connection_timeout=_CONNECT_WITHIN,
                read_timeout=_ANSWER_WITHIN,
                reconnection_retries=0,
            )
        self._session = self.wsman.transport._build_session()
        prepare(self._session, self._route)
        self.wsman.transport.session = self._session

    def close(self) -> None:
        """End its connections."""
        self._session.close()
        self._route.close()


def prepare(session: requests.Session, route: _Route) -> None:
    """A session that goes this way and no other."""
    session.trust_env = False
    session.max_redirects = 0
    session.headers["User-Agent"] = _AGENT
    session.adapters.clear()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(route))


def _timed_out(fault: WSManFaultError) -> bool:
    return bool(fault.code == _OPERATION_TIMED_OUT)


class Runspace:
    """A `lab.machine.RemoteRunspace`. Opened by being made. Not for several threads."""

    def __init__(self, network: LabNetwork, passage: Passage, io: PipelineIO) -> None:
        self._pool = psrpcore.ClientRunspacePool(host=ps.HostInfo())
        self._open = False
        self._keyed = False
        with _faults(open_yet=False):
            self._line = _Line(network, passage)
        self._shell = WinRS(
            self._line.wsman,
            resource_uri=_POWERSHELL_URI,
            id=str(self._pool.runspace_pool_id).upper(),
            input_streams="stdin pr",
            output_streams="stdout",
        )
        try:
            with _faults(open_yet=False):
                self._begin(io)
        except BaseException:
            self.close()
            raise
        self._open = True

    @property
    def runspace_id(self) -> UUID:
        return self._pool.runspace_pool_id

    def _begin(self, io: PipelineIO) -> None:
        self._pool.open()
        creation = self._pool.data_to_send(_FRAGMENT)
        assert creation is not None
        content = ET.Element("creationXml", xmlns="http://schemas.microsoft.com/powershell")
        content.text = base64.b64encode(creation.data).decode()
        options = OptionSet()
        options.add_option("protocolversion", "2.3", {"MustComply": "true"})
        self._shell.open(options, content)
        self._until(lambda: self._pool.state != ps.RunspacePoolState.Opening, io)
        if self._pool.state != ps.RunspacePoolState.Opened:
            raise RemoteFault(Trouble.BROKEN)

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        """See `lab.machine.RemoteRunspace`."""
        if not self._open:
            raise RemoteFault(Trouble.BROKEN)
        with _faults(open_yet=True):
            if _has_secret([*(one.value for command in request.commands for one in command.parameters), *request.input]):
                self._exchange_key(io)
            return self._run(request, io)

    def _run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        given = tuple(request.input)
        pipeline = psrpcore.ClientPowerShell(self._pool, no_input=not given)
        for command in request.commands:
            sent = psrpcore.Command(command.text, is_script=command.is_script, use_local_scope=command.use_local_scope)
            for one in command.parameters:
                sent.add_parameter(one.name, to_wire(one.value))
            pipeline.metadata.commands.append(sent)
        pipeline.start()
        command_id = str(pipeline.pipeline_id).upper()
        payload = self._pool.data_to_send(_FRAGMENT)
        assert payload is not None
        self._shell.command("", [base64.b64encode(payload.data).decode()], command_id=command_id)
        self._send_rest(command_id)
        for item in given:
            pipeline.send(to_wire(item))
            self._send_rest(command_id)
        if given:
            pipeline.send_eof()
            self._send_rest(command_id)
        ended = _Ended()
        try:
            self._until(lambda: ended.known, io, command_id=command_id, then=partial(_pass_on, io, ended))
        except PipelineStopped:
            self._stop(command_id, ended)
            raise
        with suppress(WSManFaultError):
            self._shell.signal(SignalCode.TERMINATE, command_id)
        return ended.record

    def _stop(self, command_id: str, ended: _Ended) -> None:
        self._shell.signal(SignalCode.PS_CTRL_C, command_id)
        for _ in range(_STOP_POLLS):
            if ended.known:
                return
            self._receive(command_id, ended.see)

    def _exchange_key(self, io: PipelineIO) -> None:
        """The session key, before anything that is secret [MS-PSRP 3.1.5.4.3]. Once a session."""
        if self._keyed:
            return
        self._pool.exchange_key()
        payload = self._pool.data_to_send(_FRAGMENT)
        assert payload is not None
        self._shell.send("pr", payload.data)
        self._until(lambda: self._keyed, io, then=self._see_key)

    def _see_key(self, event: Any) -> None:
        self._keyed = self._keyed or isinstance(event, psrpcore.EncryptedSessionKeyEvent)

    def _send_rest(self, command_id: str) -> None:
        while (payload := self._pool.data_to_send(_FRAGMENT)) is not None:
            self._shell.send("stdin", payload.data, command_id)

    def _until(
        self, met: Callable[[], bool], io: PipelineIO, *, command_id: str | None = None, then: Callable[[Any], object] = lambda _: None
    ) -> None:
        while not met():
            io.wait(0)
            self._receive(command_id, then)

    def _receive(self, command_id: str | None, then: Callable[[Any], object]) -> None:
        try:
            _, _, buffers = self._shell.receive("stdout", command_id=command_id, timeout=_PATIENCE)
        except WSManFaultError as fault:
            if _timed_out(fault):
                return
            raise
        target = UUID(command_id) if command_id else None
        self._pool.receive_data(psrpcore.PSRPPayload(buffers["stdout"], psrpcore.StreamType.default, target))
        while (event := self._pool.next_event()) is not None:
            then(event)

    def close(self) -> None:
        """See `lab.machine.RemoteRunspace`."""
        with suppress(RemoteFault), _faults(open_yet=True):
            self._shell.close()
        self._open = False
        self._line.close()


class _Ended:
    """How a pipeline ended, once that is known."""

    def __init__(self) -> None:
        self.known = False
        self.record: ErrorRecord | None = None

    def see(self, event: Any) -> None:
        """Take note where the event is its end."""
        if isinstance(event, psrpcore.PipelineStateEvent) and event.state in (
            ps.PSInvocationState.Completed,
            ps.PSInvocationState.Failed,
            ps.PSInvocationState.Stopped,
        ):
            self.known = True
            if event.state == ps.PSInvocationState.Failed and event.reason is not None:
                self.record = read_error_record(event.reason)


def _pass_on(io: PipelineIO, ended: _Ended, event: Any) -> None:
    match event:
        case psrpcore.PipelineOutputEvent():
            io.output(from_wire(event.data))
        case psrpcore.ErrorRecordEvent():
            io.error(read_error_record(event.record))
        case psrpcore.InformationRecordEvent():
            io.record(StreamName.INFORMATION, str(event.record.MessageData))
        case psrpcore.PipelineStateEvent():
            ended.see(event)
        case _:
            for kind, stream in _STREAMS:
                if isinstance(event, kind):
                    io.record(stream, str(event.record.Message))


def _has_secret(held: Sequence[PSValue]) -> bool:
    for value in held:
        match value:
            case SecureString():
                return True
            case list():
                if _has_secret(value):
                    return True
            case dict():
                if _has_secret(list(value.values())):
                    return True
            case PSObject():
                if _has_secret(list(value.properties.values())):
                    return True
            case _:
                pass
    return False


class PypsrpClient:
    """A `lab.network.Client`."""

    def open_runspace(self, network: LabNetwork, passage: Passage, io: PipelineIO) -> Runspace:
        """See `lab.machine.Network`."""
        return Runspace(network, passage, io)

    def run_line(self, network: LabNetwork, passage: Passage, line: str, io: CommandIO) -> int:
        """See `lab.machine.Network`."""
        return run_line(network, passage, line, io)

    def identify(self, network: LabNetwork, passage: Passage) -> str:
        """See `lab.machine.Network`."""
        return identify(network, passage)


def run_line(network: LabNetwork, passage: Passage, line: str, io: CommandIO) -> int:
    """Run a line in a remote command shell, as winrs.exe does. Raises `RemoteFault`, and `PipelineStopped` as `io` does."""
    with _faults(open_yet=False):
        way = _Line(network, passage)
    try:
        with _faults(open_yet=False):
            shell = WinRS(way.wsman, codepage=437)
            shell.open()
        with _faults(open_yet=True):
            try:
                return _run_line(shell, line, io)
            finally:
                shell.close()
    finally:
        way.close()


def _run_line(shell: WinRS, line: str, io: CommandIO) -> int:
    process = Process(shell, line)
    process.begin_invoke()
    shown = [0, 0]
    while process.rc is None or process.state != "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done":
        io.wait(0)
        process.poll_invoke(timeout=_PATIENCE)
        for place, (whole, show) in enumerate(((process.stdout, io.stdout), (process.stderr, io.stderr))):
            if len(whole) > shown[place]:
                show(whole[shown[place] :].decode("cp437"))
                shown[place] = len(whole)
    with suppress(WSManFaultError):
        process.signal(SignalCode.TERMINATE)
    return process.rc


def identify(network: LabNetwork, passage: Passage) -> str:
    """Ask who is there, without logging on. Raises `RemoteFault`."""
    with _faults(open_yet=False):
        route = _Route(network, passage)
        with requests.Session() as session:
            prepare(session, route)
            answer = session.post(
                f"{'https' if passage.secure else 'http'}://{passage.to.fqdn}/wsman",
                data=_IDENTIFY,
                headers={"Content-Type": "application/soap+xml;charset=UTF-8", "WSMANIDENTIFY": "unauthenticated"},
                timeout=_ANSWER_WITHIN,
                verify=False,
            )
        route.close()
        if answer.status_code not in (200, _UNAUTHORIZED):
            raise RemoteFault(Trouble.BROKEN)
        found = ET.fromstring(answer.content).find(".//{*}ProductVersion") if answer.status_code == 200 else None  # noqa: S314 - the lab's own
        return found.text or _UNKNOWN_VERSION if found is not None else _UNKNOWN_VERSION
