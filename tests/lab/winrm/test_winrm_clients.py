"""Requests as other people's clients write them, by hand: whatever prefix, order, case, encoding and transfer they use.

The shapes are those of WinRb's winrm, masterzen's winrm, nodejs-winrm, winrm4j, winrs.exe, PowerShell's own and libwsman; nothing of theirs
is copied, and none of them is needed.
"""

from __future__ import annotations

import socket
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import NamedTuple
from uuid import uuid4
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
import spnego
from pypsrp.powershell import PowerShell, RunspacePool
from winrm.protocol import Protocol

from lab.machine import Account, CommandIO, CommandLine, PipelineIO, PipelineRequest
from lab.winrm import Access, Endpoint, EndpointAccount, Quotas, Scheme
from lab.winrm.xpress import expand, stored
from tests.lab.winrm.small_machine import PASSWORD, PURPLE, SmallMachine, endpoint, wsman

NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "n": "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "cfg": "http://schemas.microsoft.com/wbem/wsman/1/config",
    "i": "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd",
    "f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault",
}
ANONYMOUS = f"{NS['a']}/role/anonymous"
CMD = f"{NS['rsp']}/cmd"
AUTHORIZATION = "Basic " + b64encode(f"purple:{PASSWORD}".encode()).decode()
IDENTIFY = f'<s:Envelope xmlns:s="{NS["s"]}" xmlns:wsmid="{NS["i"]}"><s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>'


def greet(line: CommandLine, io: CommandIO) -> int:
    io.stdout("hello ü")
    io.stderr("oh")
    return 7


def cat(line: CommandLine, io: CommandIO) -> int:
    while (read := io.read_line()) is not None:
        io.stdout(f"<{read}>")
    return 0


def hello(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("hello")


@pytest.fixture(scope="module")
def served() -> Iterator[Endpoint]:
    access = Access(schemes=frozenset({Scheme.BASIC, Scheme.NEGOTIATE}), allow_unencrypted=True)
    with endpoint(SmallMachine({"hello": hello}, lines={"greet": greet, "cat": cat}), access=access) as started:
        yield started


class Answer(NamedTuple):
    status: int
    content_type: str
    root: Element

    def text(self, path: str) -> str:
        return self.root.findtext(path, "", NS)

    @property
    def fault(self) -> int:
        element = self.root.find(".//f:WSManFault", NS)
        assert element is not None, ElementTree.tostring(self.root)
        return int(element.get("Code", "0"))


def ask(served: Endpoint, body: bytes | str, *, path: str = "/wsman", **headers: str) -> Answer:
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection:
        content = body.encode() if isinstance(body, str) else body
        fields = {"Content-Type": "application/soap+xml;charset=UTF-8", "Authorization": AUTHORIZATION} | headers
        connection.request("POST", path, content, {name.replace("_", "-"): value for name, value in fields.items() if value})
        response = connection.getresponse()
        return Answer(response.status, response.headers.get("Content-Type", ""), ElementTree.fromstring(response.read()))


def envelope(action: str, uri: str, body: str, *, shell: str = "", options: str = "", header: str = "") -> str:
    """As WinRb and masterzen have it: `env:` prefixes, everything mustUnderstand."""
    selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
    spaces = " ".join(f'xmlns:{prefix if prefix != "s" else "env"}="{space}"' for prefix, space in NS.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><env:Envelope {spaces}><env:Header><a:To>http://windows-host:5985/wsman</a:To>'
        f'<a:ReplyTo><a:Address env:mustUnderstand="true">{ANONYMOUS}</a:Address></a:ReplyTo>'
        '<w:MaxEnvelopeSize env:mustUnderstand="true">153600</w:MaxEnvelopeSize>'
        f"<a:MessageID>uuid:{uuid4()}</a:MessageID>"
        '<p:SessionId env:mustUnderstand="false">uuid:11111111-0000-0000-0000-000000000000</p:SessionId>'
        '<w:Locale xml:lang="en-US" env:mustUnderstand="false"/><p:DataLocale xml:lang="en-US" env:mustUnderstand="false"/>'
        f"<w:OperationTimeout>PT60S</w:OperationTimeout>{header}"
        f'<w:ResourceURI env:mustUnderstand="true">{uri}</w:ResourceURI><a:Action env:mustUnderstand="true">{action}</a:Action>'
        f"{options}{selector}</env:Header><env:Body>{body}</env:Body></env:Envelope>"
    )


OPTIONS = (
    '<w:OptionSet xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><w:Option Name="WINRS_NOPROFILE">TRUE</w:Option>'
    '<w:Option Name="WINRS_CODEPAGE">65001</w:Option></w:OptionSet>'
)
NEW = "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>"


def open_shell(served: Endpoint, body: str = NEW) -> str:
    answer = ask(served, envelope(f"{NS['x']}/Create", CMD, body, options=OPTIONS))
    assert answer.status == 200
    assert answer.text(".//a:Action") == f"{NS['x']}/CreateResponse"
    shell_id = answer.text(".//w:Selector")
    assert shell_id == answer.text(".//rsp:ShellId") != ""
    return shell_id


def close(served: Endpoint, shell: str) -> None:
    assert ask(served, envelope(f"{NS['x']}/Delete", CMD, "", shell=shell)).status == 200


def run(served: Endpoint, shell: str, line: str, *, skip: str = "FALSE") -> str:
    options = (
        f'<w:OptionSet><w:Option Name="WINRS_CONSOLEMODE_STDIN">TRUE</w:Option><w:Option Name="WINRS_SKIP_CMD_SHELL">{skip}</w:Option>'
        "</w:OptionSet>"
    )
    body = (
        f'<rsp:CommandLine><rsp:Command>"{line}"</rsp:Command></rsp:CommandLine>'
        if '"' in line
        else (f"<rsp:CommandLine><rsp:Command>{line}</rsp:Command></rsp:CommandLine>")
    )
    return ask(served, envelope(f"{NS['rsp']}/Command", CMD, body, shell=shell, options=options)).text(".//rsp:CommandId")


def output(served: Endpoint, shell: str, command: str) -> tuple[dict[str, bytes], str]:
    said: dict[str, bytes] = {}
    while True:
        body = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout stderr</rsp:DesiredStream></rsp:Receive>'
        answer = ask(served, envelope(f"{NS['rsp']}/Receive", CMD, body, shell=shell))
        for stream in answer.root.iterfind(".//rsp:Stream", NS):
            name = stream.get("Name", "")
            said[name] = said.get(name, b"") + b64decode(stream.text or "")
        state = answer.root.find(".//rsp:CommandState", NS)
        assert state is not None
        if state.get("State", "").endswith("Done"):
            return said, answer.text(".//rsp:ExitCode")


# --- command shells -------------------------------------------------------------------------------------------------------


def test_a_command_from_its_shells_begin_to_its_end(served: Endpoint) -> None:
    shell = open_shell(served)
    command = run(served, shell, "greet")
    assert output(served, shell, command) == ({"stdout": "hello ü".encode(), "stderr": b"oh"}, "7")
    body = f'<rsp:Signal CommandId="{command}"><rsp:Code>{NS["rsp"]}/signal/terminate</rsp:Code></rsp:Signal>'
    assert ask(served, envelope(f"{NS['rsp']}/Signal", CMD, body, shell=shell)).root.find(".//rsp:SignalResponse", NS) is not None
    close(served, shell)


def test_input_ends_where_it_says_so(served: Endpoint) -> None:
    shell = open_shell(served)
    command = run(served, shell, "cat")
    for text, end in (("one\r\ntw", ""), ("o\r\n", ' End="true"')):
        stream = f'<rsp:Stream Name="stdin" CommandId="{command}"{end}>{b64encode(text.encode()).decode()}</rsp:Stream>'
        assert ask(served, envelope(f"{NS['rsp']}/Send", CMD, f"<rsp:Send>{stream}</rsp:Send>", shell=shell)).status == 200
    assert output(served, shell, command)[0]["stdout"] == b"<one><two>"
    close(served, shell)


def test_attributes_may_have_the_schemas_namespace(served: Endpoint) -> None:
    """As CXF writes them where a description of the service says that they are qualified."""
    shell = open_shell(served)
    command = run(served, shell, "cat")
    data = b64encode(b"a\r\n").decode()
    body = f'<rsp:Send><rsp:Stream rsp:Name="stdin" rsp:CommandId="{command}" rsp:End="true">{data}</rsp:Stream></rsp:Send>'
    assert ask(served, envelope(f"{NS['rsp']}/Send", CMD, body, shell=shell)).status == 200
    body = f'<rsp:Receive><rsp:DesiredStream rsp:CommandId="{command}">stdout stderr</rsp:DesiredStream></rsp:Receive>'
    text = ""
    while True:
        answer = ask(served, envelope(f"{NS['rsp']}/Receive", CMD, body, shell=shell))
        text += "".join(b64decode(one.text or "").decode() for one in answer.root.iterfind(".//rsp:Stream", NS))
        state = answer.root.find(".//rsp:CommandState", NS)
        assert state is not None
        if state.get("State", "").endswith("/Done"):
            break
    assert text == "<a>"
    body = f'<rsp:Signal rsp:CommandId="{command}"><rsp:Code>{NS["rsp"]}/signal/terminate</rsp:Code></rsp:Signal>'
    assert ask(served, envelope(f"{NS['rsp']}/Signal", CMD, body, shell=shell)).status == 200
    assert ask(served, envelope(f"{NS['rsp']}/Signal", CMD, body, shell=shell)).fault == 2150858843
    close(served, shell)


def test_streams_are_compressed_where_a_client_says_so(served: Endpoint) -> None:
    """As PowerShell's own client opens its shells, with a header that must be understood."""
    header = '<rsp:CompressionType env:mustUnderstand="true">xpress</rsp:CompressionType>'
    shell = ask(served, envelope(f"{NS['x']}/Create", CMD, NEW, options=OPTIONS, header=header)).text(".//w:Selector")
    shown = ask(served, envelope(f"{NS['x']}/Get", NS["rsp"], "", shell=shell))
    assert shown.text(".//rsp:CompressionMode") == "XpressCompression"
    command = run(served, shell, "cat")
    pieces = [b64encode(stored(piece)).decode() for piece in (b"one\r\ntw", b"o\r\n")]
    streams = "".join(f'<rsp:Stream Name="stdin" CommandId="{command}">{piece}</rsp:Stream>' for piece in pieces)
    assert ask(served, envelope(f"{NS['rsp']}/Send", CMD, f"<rsp:Send>{streams}</rsp:Send>", shell=shell)).status == 200
    plain = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}">{b64encode(b"three").decode()}</rsp:Stream></rsp:Send>'
    assert ask(served, envelope(f"{NS['rsp']}/Send", CMD, plain, shell=shell)).fault == 87
    end = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}" End="true"/></rsp:Send>'
    assert ask(served, envelope(f"{NS['rsp']}/Send", CMD, end, shell=shell)).status == 200
    said, code = output(served, shell, command)
    assert (expand(said["stdout"]), code) == (b"<one><two>", "0")
    close(served, shell)


def test_there_is_no_other_compression(served: Endpoint) -> None:
    header = '<rsp:CompressionType env:mustUnderstand="true">deflate</rsp:CompressionType>'
    assert ask(served, envelope(f"{NS['x']}/Create", CMD, NEW, options=OPTIONS, header=header)).fault == 2150858881


def test_several_commands_of_a_shell_have_their_own_output(served: Endpoint) -> None:
    shell = open_shell(served)
    commands = [run(served, shell, "greet") for _ in range(3)]
    assert len(set(commands)) == 3
    assert {output(served, shell, command)[1] for command in commands} == {"7"}
    close(served, shell)


def test_one_stream_is_fetched_and_the_other_stays(served: Endpoint) -> None:
    shell = open_shell(served)
    command = run(served, shell, "greet")
    for stream, said in (("stderr", b"oh"), ("stdout", "hello ü".encode())):
        body = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">{stream}</rsp:DesiredStream></rsp:Receive>'
        answer = ask(served, envelope(f"{NS['rsp']}/Receive", CMD, body, shell=shell))
        found = [(one.get("Name"), b64decode(one.text)) for one in answer.root.iterfind(".//rsp:Stream", NS) if one.text]
        assert found == [(stream, said)]
    close(served, shell)


def test_the_case_of_a_uri_and_of_an_id_does_not_matter(served: Endpoint) -> None:
    shell = open_shell(served).lower()
    body = f'<rsp:CommandLine CommandId="{str(uuid4()).lower()}"><rsp:Command>greet</rsp:Command></rsp:CommandLine>'
    answer = ask(served, envelope(f"{NS['rsp']}/Command", CMD.upper().replace("HTTP", "http"), body, shell=shell))
    command = answer.text(".//rsp:CommandId")
    assert output(served, shell, command.lower())[1] == "7"
    close(served, shell)


# --- encodings and transfers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"), ("utf-16-le", b"")],
    ids=["utf-8", "utf-8-marked", "utf-16-le", "utf-16-be", "utf-16-unmarked"],
)
def test_a_request_in_any_encoding_of_xml_is_answered_in_its_own(served: Endpoint, encoding: str, mark: bytes) -> None:
    text = envelope(f"{NS['x']}/Get", NS["cfg"], "").replace(
        'encoding="UTF-8"', f'encoding="{encoding[:6].upper()}"'.replace("UTF-8", "utf-8")
    )
    answer = ask(served, mark + text.encode(encoding), Content_Type=f"application/soap+xml;charset={encoding[:6].upper()}")
    assert (answer.status, answer.text(".//cfg:MaxEnvelopeSizekb")) == (200, "500")
    assert answer.content_type.endswith("charset=UTF-16" if "16" in encoding else "charset=UTF-8")


def test_a_body_may_come_in_chunks_with_headers_in_any_case(served: Endpoint) -> None:
    body = envelope(f"{NS['x']}/Get", NS["cfg"], "").encode()
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as sock:
        sock.sendall(
            b"POST /WSMAN?PSVersion=5.1.19041.1 HTTP/1.1\r\nhOST: x\r\ntransfer-ENCODING: chunked\r\nAUTHORIZATION: "
            + AUTHORIZATION.encode()
        )
        sock.sendall(b"\r\nEXPECT: 100-Continue\r\ncontent-type: APPLICATION/SOAP+XML; action=x\r\nConnection: Keep-Alive\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        for start in range(0, len(body), 100):
            piece = body[start : start + 100]
            sock.sendall(f"{len(piece):X};extension=1\r\n".encode() + piece + b"\r\n")
        sock.sendall(b"0\r\nTrailer: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_several_requests_go_over_one_connection(served: Endpoint) -> None:
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection:
        for _ in range(3):
            connection.request("POST", "/wsman", envelope(f"{NS['x']}/Get", NS["cfg"], ""), {"Authorization": AUTHORIZATION})
            assert connection.getresponse().read()


# --- what it is -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/wsman", {"WSMANIDENTIFY": "unauthenticated", "Authorization": ""}),
        ("/wsman-anon/identify", {"Authorization": ""}),
        ("/wsman/", {"wsmanidentify": "UNAUTHENTICATED", "Authorization": ""}),
    ],
    ids=["header", "path", "slash"],
)
def test_anybody_may_ask_what_it_is(served: Endpoint, path: str, headers: dict[str, str]) -> None:
    answer = ask(served, IDENTIFY, path=path, **headers)
    assert answer.status == 200
    assert answer.text(".//i:ProtocolVersion") == NS["w"]
    assert answer.text(".//i:ProductVendor") == "Microsoft Corporation"
    assert answer.text(".//i:ProductVersion") == "OS: 0.0.0 SP: 0.0 Stack: 3.0"


def test_who_is_logged_on_is_told_the_version(served: Endpoint) -> None:
    assert ask(served, IDENTIFY).text(".//i:ProductVersion") == "OS: 10.0.19041 SP: 0.0 Stack: 3.0"


@pytest.mark.parametrize("body", ["", "<x/>", envelope(f"{NS['x']}/Get", NS["cfg"], "")], ids=["nothing", "no envelope", "another request"])
def test_nobody_gets_anything_else_that_way(served: Endpoint, body: str) -> None:
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection:
        connection.request("POST", "/wsman-anon/identify", body, {"WSMANIDENTIFY": "unauthenticated"})
        assert connection.getresponse().status == 401


# --- settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "path", "value"),
    [
        ("", "s:Body/cfg:Config/cfg:Winrs/cfg:MaxShellsPerUser", "30"),
        ("", "s:Body/cfg:Config/cfg:Service/cfg:Auth/cfg:Basic", "true"),
        ("/service", "s:Body/cfg:Service/cfg:AllowUnencrypted", "true"),
        ("/Service/Auth", "s:Body/cfg:Auth/cfg:CredSSP", "false"),
        ("/winrs", "s:Body/cfg:Winrs/cfg:MaxProcessesPerShell", "25"),
        ("/client", "s:Body/cfg:Client/cfg:AllowUnencrypted", "false"),
    ],
)
def test_settings_are_what_they_are(served: Endpoint, part: str, path: str, value: str) -> None:
    assert ask(served, envelope(f"{NS['x']}/Get", NS["cfg"] + part, "")).text(path) == value


def test_listeners_are_listed(served: Endpoint) -> None:
    body = "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements></n:Enumerate>"
    answer = ask(served, envelope(f"{NS['n']}/Enumerate", f"{NS['cfg']}/listener", body))
    assert [
        (one.findtext("cfg:Transport", "", NS), one.findtext("cfg:Port", "", NS)) for one in answer.root.iter(f"{{{NS['cfg']}}}Listener")
    ] == [("HTTP", str(served.port))]


# --- lists of shells ------------------------------------------------------------------------------------------------------


def test_a_list_is_fetched_bit_by_bit_where_a_client_wants_it_so(served: Endpoint) -> None:
    shell = open_shell(served, NEW.replace("<rsp:Shell>", '<rsp:Shell Name="mine">'))
    context = ask(served, envelope(f"{NS['n']}/Enumerate", NS["rsp"], "<n:Enumerate/>")).text(".//n:EnumerationContext")
    pull = envelope(f"{NS['n']}/Pull", NS["rsp"], f"<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext></n:Pull>")
    answer = ask(served, pull)
    assert shell in [one.text for one in answer.root.iterfind("s:Body/n:PullResponse/n:Items/rsp:Shell/rsp:ShellId", NS)]
    assert answer.text(".//rsp:Name") == "mine"
    assert answer.root.find(".//n:EndOfSequence", NS) is not None
    again = ask(served, pull)
    assert (again.status, again.fault) == (500, 2150858779)
    close(served, shell)


def test_a_list_may_be_given_up(served: Endpoint) -> None:
    context = ask(served, envelope(f"{NS['n']}/Enumerate", NS["rsp"], "<n:Enumerate/>")).text(".//n:EnumerationContext")
    body = f"<n:{{0}}><n:EnumerationContext>{context}</n:EnumerationContext></n:{{0}}>"
    assert ask(served, envelope(f"{NS['n']}/Release", NS["rsp"], body.format("Release"))).status == 200
    assert ask(served, envelope(f"{NS['n']}/Pull", NS["rsp"], body.format("Pull"))).fault == 2150858779


def test_a_shell_tells_of_itself(served: Endpoint) -> None:
    shell = open_shell(served)
    for uri in (NS["rsp"], CMD):
        answer = ask(served, envelope(f"{NS['x']}/Get", uri, "", shell=shell))
        found = {element.tag.partition("}")[2]: element.text for element in answer.root.iterfind("s:Body/rsp:Shell/*", NS)}
        assert (found["ShellId"], found["State"], found["Owner"], found["ResourceUri"]) == (shell, "Connected", "LAB\\purple", CMD)
        assert (found["InputStreams"], found["OutputStreams"]) == ("stdin", "stdout stderr")
    close(served, shell)


def test_commands_are_listed_of_one_shell(served: Endpoint) -> None:
    shell = open_shell(served)
    command = run(served, shell, "cat")
    commands = f"{NS['rsp']}/Command"
    chosen = f'<w:Filter><w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet></w:Filter>'
    answer = ask(served, envelope(f"{NS['n']}/Enumerate", commands, f"<n:Enumerate><w:OptimizeEnumeration/>{chosen}</n:Enumerate>"))
    assert answer.text(".//w:Items/rsp:Command/rsp:CommandId") == command
    assert ask(served, envelope(f"{NS['n']}/Enumerate", commands, "<n:Enumerate/>")).fault == 2150859200
    close(served, shell)


# --- headers --------------------------------------------------------------------------------------------------------------


def test_headers_that_clients_send_beside_are_understood(served: Endpoint) -> None:
    header = (
        '<p:OperationID env:mustUnderstand="true">uuid:AAAA</p:OperationID><p:SequenceId env:mustUnderstand="true">1</p:SequenceId>'
        '<p:ActivityId env:mustUnderstand="true">uuid:BBBB</p:ActivityId><a:From><a:Address>x</a:Address></a:From>'
    )
    answer = ask(served, envelope(f"{NS['x']}/Get", NS["cfg"], "", header=header))
    assert (answer.status, answer.text(".//p:OperationID")) == (200, "uuid:AAAA")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ('<w:RequestEPR env:mustUnderstand="true"/>', 2150858768),
        ('<x:Unknown env:mustUnderstand="1"/>', 2150858768),
        ("<w:MaxEnvelopeSize>1</w:MaxEnvelopeSize>", 2150858878),
        ("<w:OperationTimeout>soon</w:OperationTimeout>", 2150858881),
    ],
)
def test_a_header_that_cannot_be_obeyed_is_a_fault(served: Endpoint, header: str, code: int) -> None:
    answer = ask(served, envelope(f"{NS['x']}/Get", NS["cfg"], "", header=header))
    assert (answer.status, answer.fault) == (500, code)
    assert answer.text(".//a:RelatesTo").startswith("uuid:")


# --- quotas ---------------------------------------------------------------------------------------------------------------


def test_so_many_users_may_have_shells_and_no_more() -> None:
    names = [Account(domain="LAB", name=f"user{n}", sid=f"S-1-5-21-1-2-3-{2000 + n}") for n in range(2)]
    others = [EndpointAccount(account=account, password=PASSWORD) for account in names]
    accounts = [EndpointAccount(account=PURPLE, password=PASSWORD), *others]
    access = Access(schemes=frozenset({Scheme.BASIC}), allow_unencrypted=True)
    with endpoint(SmallMachine(lines={"greet": greet}), accounts=accounts, access=access, quotas=Quotas(max_users=2)) as own:
        shell = open_shell(own)
        one, two = ("Basic " + b64encode(f"user{n}:{PASSWORD}".encode()).decode() for n in range(2))
        new = envelope(f"{NS['x']}/Create", CMD, NEW)
        assert ask(own, new, Authorization=one).status == 200
        assert ask(own, new, Authorization=two).fault == 2150859179
        assert ask(own, envelope(f"{NS['x']}/Get", CMD, "", shell=shell), Authorization=one).fault == 2150858843
        close(own, shell)
        assert ask(own, new, Authorization=two).status == 200


# --- IPv6 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
def test_an_exchange_begins_anew_where_another_was_left_half_done(served: Endpoint, protocol: str) -> None:
    """Clients with a pool of connections send the second half of an exchange by another one, and use this one again later."""
    with closing(HTTPConnection("127.0.0.1", served.port, timeout=20)) as connection:

        def leg(token: bytes | None) -> tuple[int, bytes]:
            assert token is not None
            connection.request("POST", "/wsman", b"", {"Authorization": f"Negotiate {b64encode(token).decode()}"})
            response = connection.getresponse()
            response.read()
            return response.status, b64decode(response.headers.get("WWW-Authenticate", "").partition(" ")[2])

        assert leg(spnego.client("purple", PASSWORD, protocol=protocol).step())[0] == 401
        client = spnego.client("purple", PASSWORD, protocol=protocol)
        status, answer = leg(client.step())
        assert (status, bool(answer)) == (401, True)
        assert leg(client.step(answer))[0] == 200


def test_everything_goes_over_ipv6() -> None:
    access = Access(schemes=frozenset({Scheme.BASIC, Scheme.NEGOTIATE}), allow_unencrypted=True)
    with endpoint(SmallMachine({"hello": hello}, lines={"greet": greet}), address="::1", access=access) as own:
        with wsman(own, server="::1") as connection, RunspacePool(connection) as pool:
            shell = PowerShell(pool)
            shell.add_script("hello")
            assert shell.invoke() == ["hello"]
        far = Protocol(
            f"http://[::1]:{own.port}/wsman", transport="basic", username="purple", password=PASSWORD, server_cert_validation="ignore"
        )
        shell_id = far.open_shell()
        assert far.get_command_output(shell_id, far.run_command(shell_id, "greet"))[2] == 7
        far.close_shell(shell_id)
