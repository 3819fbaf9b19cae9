"""SOAP envelopes in and out: what a request must have, what a fault looks like, and that no bytes whatever break the parser."""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress
from uuid import UUID
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypsrp.wsman import NAMESPACES, WSMan, WSManAction

from lab.winrm import faults, responses, wsman

SHELL = "6B29FC40-CA47-1067-B31D-00DD010662DA"
COMMAND = "7D444840-9DC0-11D1-B245-5FFDCE74FAD2"
RSP = NAMESPACES["rsp"]


def envelope(
    action: str, body: str, *, headers: str = "", uri: str = wsman.POWERSHELL_URI, shell: str = SHELL, message: str = "uuid:1"
) -> str:
    selectors = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
    return (
        f'<s:Envelope xmlns:s="{NAMESPACES["s"]}" xmlns:a="{NAMESPACES["wsa"]}" xmlns:w="{NAMESPACES["wsman"]}" xmlns:rsp="{RSP}">'
        f'<s:Header><a:Action s:mustUnderstand="true">{action}</a:Action><a:MessageID>{message}</a:MessageID>'
        f"<w:ResourceURI>{uri}</w:ResourceURI>{selectors}{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def receive(headers: str = "") -> str:
    body = f'<rsp:Receive><rsp:DesiredStream CommandId="{COMMAND.lower()}">stdout</rsp:DesiredStream></rsp:Receive>'
    return envelope(WSManAction.RECEIVE, body, headers=headers)


def refusal(text: str) -> wsman.RequestFault:
    with pytest.raises(wsman.RequestFault) as raised:
        wsman.parse(text.encode())
    return raised.value


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("PT20S", 20.0),
        ("PT20.500S", 20.5),
        ("PT1M", 60.0),
        ("P0DT0H1M2S", 62.0),
        ("P1D", 86400.0),
        ("P0Y0M0DT0H1M0.000S", 60.0),
        ("P1Y2M", 86400.0),
        ("PT0.000S", 0.0),
    ],
)
def test_the_operation_timeout_is_a_duration(duration: str, seconds: float) -> None:
    request = wsman.parse(receive(f"<w:OperationTimeout>{duration}</w:OperationTimeout>").encode())
    assert request.header.operation_timeout == seconds


@pytest.mark.parametrize("duration", ["", "20", "PT", "P", "PTS", "PT-1S", "PT1e5S", "PT٣S", "PT20S\nx"])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    assert refusal(receive(f"<w:OperationTimeout>{duration}</w:OperationTimeout>")).fault.code == 2150858881


def test_a_receive_names_its_command_in_upper_case() -> None:
    request = wsman.parse(receive().encode())
    assert request.operation == wsman.Receive(command_id=COMMAND, streams=("stdout",))
    assert request.header.shell_id == SHELL


def test_a_command_without_an_id_gets_one() -> None:
    fragment = b"\x00\xff" * 40
    body = f"<rsp:CommandLine><rsp:Command/><rsp:Arguments>{b64encode(fragment).decode()}</rsp:Arguments></rsp:CommandLine>"
    operation = wsman.parse(envelope(WSManAction.COMMAND, body).encode()).operation
    assert isinstance(operation, wsman.Command)
    assert operation.fragment == fragment
    assert str(UUID(operation.command_id)).upper() == operation.command_id


def test_a_create_carries_its_first_fragments_and_idle_time() -> None:
    body = (
        f'<rsp:Shell ShellId="{SHELL.lower()}"><rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:IdleTimeOut>PT7.5S</rsp:IdleTimeOut>'
        '<creationXml xmlns="http://schemas.microsoft.com/powershell">\n AAEC\n </creationXml></rsp:Shell>'
    )
    assert wsman.parse(envelope(WSManAction.CREATE, body, shell="").encode()).operation == wsman.Create(
        shell_id=SHELL, creation=b"\0\1\2", idle_timeout=7.5, input_streams="stdin pr", output_streams="stdout"
    )


@pytest.mark.parametrize("code", ["http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/Terminate", "powershell/signal/CTRL_C"])
def test_signal_codes_differ_in_case_only_by_accident(code: str) -> None:
    body = f'<rsp:Signal CommandId="{COMMAND}"><rsp:Code>{code}</rsp:Code></rsp:Signal>'
    operation = wsman.parse(envelope(WSManAction.SIGNAL, body).encode()).operation
    assert operation in (
        wsman.Signal(command_id=COMMAND, code=wsman.SIGNAL_TERMINATE),
        wsman.Signal(command_id=COMMAND, code="powershell/signal/ctrl_c"),
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (envelope("http://example/Nothing", ""), 2150858753),
        (envelope(WSManAction.CONNECT, "<rsp:Connect/>"), 2150858791),
        (envelope("http://schemas.xmlsoap.org/ws/2004/09/transfer/Put", ""), 2150858753),
        (envelope("http://schemas.xmlsoap.org/ws/2004/09/enumeration/Pull", ""), 2150858753),
        (envelope(WSManAction.DISCONNECT, "<rsp:Disconnect><rsp:BufferMode>Keep</rsp:BufferMode></rsp:Disconnect>"), 87),
        (envelope(WSManAction.DELETE, "", uri="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/other"), 2150858752),
        (envelope(WSManAction.DELETE, "", shell=""), 2150858843),
        (envelope(WSManAction.DELETE, "", message=""), 2150858769),
        (envelope(WSManAction.DELETE, "", uri=""), 2150858769),
        (envelope("", ""), 2150858769),
        (envelope(WSManAction.COMMAND, ""), 2150858791),
        (envelope(WSManAction.COMMAND, "<rsp:CommandLine><rsp:Arguments>?!</rsp:Arguments></rsp:CommandLine>"), 2150858791),
        (envelope(WSManAction.COMMAND, '<rsp:CommandLine CommandId="x"/>'), 87),
        (envelope(WSManAction.CREATE, "<rsp:Shell/>", shell=""), 2150858791),
        (envelope(WSManAction.SEND, "<rsp:Send/>"), 2150858791),
        (envelope(WSManAction.SEND, '<rsp:Send><rsp:Stream Name="stdout">AA==</rsp:Stream></rsp:Send>'), 2150859147),
        (envelope(WSManAction.RECEIVE, "<rsp:Receive><rsp:DesiredStream>stderr</rsp:DesiredStream></rsp:Receive>"), 2150859149),
        (receive("<w:MaxEnvelopeSize>100</w:MaxEnvelopeSize>"), 2150858878),
        (receive("<w:MaxEnvelopeSize>many</w:MaxEnvelopeSize>"), 87),
        (receive('<w:Novelty s:mustUnderstand="true"/>'), 2150858768),
        ('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', 2150858819),
        ("<x>", 2150858819),
        ("<x/>", 2150858765),
    ],
)
def test_a_wrong_request_gets_the_fault_that_names_what_is_wrong(text: str, code: int) -> None:
    assert refusal(text).fault.code == code


def test_an_unknown_header_that_need_not_be_understood_is_ignored() -> None:
    assert wsman.parse(receive('<w:Novelty s:mustUnderstand="false"/>').encode()).header.shell_id == SHELL


def test_a_refusal_names_the_message_that_it_answers() -> None:
    assert refusal(envelope("http://example/Nothing", "", message="uuid:ABC")).message_id == "uuid:ABC"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_fault(data: bytes) -> None:
    with pytest.raises(wsman.RequestFault):
        wsman.parse(data)


@given(st.integers(0, 1200), st.binary(min_size=1, max_size=6))
def test_any_damage_to_a_request_is_a_request_or_a_fault(at: int, damage: bytes) -> None:
    whole = receive("<w:OperationTimeout>PT20S</w:OperationTimeout>").encode()
    with suppress(wsman.RequestFault):
        assert isinstance(wsman.parse(whole[:at] + damage + whole[at + len(damage) :]).operation, wsman.Receive)


@pytest.mark.parametrize(("announced", "budget"), [(153600, 113664), (8192, 4608), (512_000, 382464), (10_000_000, 382464)])
def test_a_stream_leaves_room_for_its_envelope(announced: int, budget: int) -> None:
    header = wsman.parse(receive(f"<w:MaxEnvelopeSize>{announced}</w:MaxEnvelopeSize>").encode()).header
    assert header.stream_budget == budget
    answer = responses.respond(
        wsman.parse(receive().encode()),
        responses.Received(command_id=COMMAND, pieces=(("stdout", bytes(header.stream_budget)),), done=True),
    )
    assert len(answer) <= announced


def test_a_response_relates_to_its_request_and_bears_the_stream_to_the_byte() -> None:
    request = wsman.parse(receive().encode())
    root = ElementTree.fromstring(
        responses.respond(request, responses.Received(command_id=COMMAND, pieces=(("stdout", b"\0abc"),), done=True))
    )
    assert root.findtext("s:Header/wsa:RelatesTo", namespaces=NAMESPACES) == "uuid:1"
    assert root.findtext("s:Header/wsa:Action", namespaces=NAMESPACES) == WSManAction.RECEIVE_RESPONSE
    first, last = root.findall(".//rsp:Stream", NAMESPACES)
    assert b64decode(first.text or "") == b"\0abc"
    assert last.get("End") == "true"
    state = root.find(".//rsp:CommandState", NAMESPACES)
    assert state is not None
    assert state.get("State") == f"{RSP}/CommandState/Done"


def test_a_running_command_is_not_done() -> None:
    text = responses.respond(
        wsman.parse(receive().encode()), responses.Received(command_id=COMMAND, pieces=(("stdout", b"x"),), done=False)
    ).decode()
    assert "CommandState/Running" in text
    assert "End=" not in text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_a_fault_reaches_an_unmodified_client_as_it_was_meant(text: str) -> None:
    fault = faults.Fault(2150858843, "w:InvalidSelectors", f"about <{text}>")
    error = WSMan._parse_wsman_fault(responses.respond_fault(fault, "uuid:<&>", 'a"b').decode())
    assert (error.code, error.machine, error.reason) == (2150858843, 'a"b', f"about <{text}>".strip())


# --- the command shell ----------------------------------------------------------------------------------------------------


def options(**given: str) -> str:
    return "<w:OptionSet>" + "".join(f'<w:Option Name="{name}">{value}</w:Option>' for name, value in given.items()) + "</w:OptionSet>"


def of_command_shell(action: str, body: str, headers: str = "", shell: str = SHELL) -> str:
    return envelope(action, body, headers=headers, uri=wsman.COMMAND_SHELL_URI, shell=shell)


NEW = (
    f'<rsp:Shell ShellId="{SHELL.lower()}"><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams>'
    "<rsp:WorkingDirectory>C:\\a b</rsp:WorkingDirectory><rsp:IdleTimeOut>PT9S</rsp:IdleTimeOut>"
    '<rsp:Environment><rsp:Variable Name="A"> 1=2 </rsp:Variable><rsp:Variable Name="B"/></rsp:Environment></rsp:Shell>'
)
LINE = (
    "<rsp:CommandLine><rsp:Command>dir</rsp:Command><rsp:Arguments>/b</rsp:Arguments><rsp:Arguments>C:\\ x</rsp:Arguments>"
    "</rsp:CommandLine>"
)
INPUT = f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{COMMAND}" End="True">QQ==</rsp:Stream></rsp:Send>'


def test_a_command_shell_is_created_with_all_that_it_is_given() -> None:
    text = of_command_shell(WSManAction.CREATE, NEW, options(WINRS_NOPROFILE="TRUE", Winrs_CodePage="65001"), shell="")
    request = wsman.parse(text.encode())
    assert request.resource == wsman.COMMAND_SHELL_URI
    assert request.operation == wsman.CreateCommandShell(
        shell_id=SHELL,
        idle_timeout=9.0,
        input_streams="stdin",
        output_streams="stdout stderr",
        environment={"A": " 1=2 ", "B": ""},
        directory="C:\\a b",
        code_page=65001,
    )


@pytest.mark.parametrize(("skip", "expected"), [("TRUE", True), ("True", True), ("1", True), ("FALSE", False), ("", False)])
def test_a_line_is_its_command_and_arguments(skip: str, expected: bool) -> None:
    operation = wsman.parse(of_command_shell(WSManAction.COMMAND, LINE, options(WINRS_SKIP_CMD_SHELL=skip)).encode()).operation
    assert isinstance(operation, wsman.RunLine)
    assert (operation.line, operation.skip_shell) == ("dir /b C:\\ x", expected)


def test_input_says_where_it_ends() -> None:
    operation = wsman.parse(of_command_shell(WSManAction.SEND, INPUT).encode()).operation
    assert operation == wsman.Send(command_id=COMMAND, data=b"A", end=True, stream="stdin")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (of_command_shell(WSManAction.CREATE, NEW, options(WINRS_CODEPAGE="x"), shell=""), 87),
        (of_command_shell(WSManAction.CREATE, NEW, options(WINRS_CODEPAGE="999999"), shell=""), 87),
        (of_command_shell(WSManAction.CREATE, NEW.replace('Name="A"', 'Name=""'), shell=""), 87),
        (of_command_shell(WSManAction.CREATE, NEW.replace('Name="A"', 'Name="A=B"'), shell=""), 87),
        (of_command_shell(WSManAction.CREATE, "", shell=""), 2150858791),
        (of_command_shell(WSManAction.COMMAND, ""), 2150858791),
        (of_command_shell(WSManAction.RECEIVE, "<rsp:Receive><rsp:DesiredStream>stdout pr</rsp:DesiredStream></rsp:Receive>"), 2150859149),
        (of_command_shell(WSManAction.RECEIVE, "<rsp:Receive><rsp:DesiredStream/></rsp:Receive>"), 2150859149),
        (of_command_shell(WSManAction.SEND, INPUT.replace("QQ==", "?")), 2150858791),
        (of_command_shell(WSManAction.CONNECT, "<rsp:Connect/>"), 2150858791),
    ],
)
def test_a_wrong_request_to_a_command_shell_gets_its_fault(text: str, code: int) -> None:
    assert refusal(text).fault.code == code


def test_the_end_of_a_line_has_its_code_and_ends_each_stream_that_was_asked_for() -> None:
    body = f'<rsp:Receive><rsp:DesiredStream CommandId="{COMMAND}">stdout stderr</rsp:DesiredStream></rsp:Receive>'
    request = wsman.parse(of_command_shell(WSManAction.RECEIVE, body).encode())
    received = responses.Received(command_id=COMMAND, pieces=(("stdout", b"a"), ("stderr", b"b")), done=True, exit_code=-5)
    root = ElementTree.fromstring(responses.respond(request, received))
    streams = [(one.get("Name"), b64decode(one.text or ""), one.get("End")) for one in root.findall(".//rsp:Stream", NAMESPACES)]
    assert streams == [("stdout", b"a", None), ("stderr", b"b", None), ("stdout", b"", "true"), ("stderr", b"", "true")]
    assert root.findtext(".//rsp:CommandState/rsp:ExitCode", namespaces=NAMESPACES) == "-5"


@given(st.sampled_from([NEW, LINE, INPUT]), st.integers(0, 1600), st.binary(min_size=1, max_size=6))
def test_any_damage_to_a_request_to_a_command_shell_is_a_request_or_a_fault(body: str, at: int, damage: bytes) -> None:
    action = {NEW: WSManAction.CREATE, LINE: WSManAction.COMMAND, INPUT: WSManAction.SEND}[body]
    whole = of_command_shell(action, body, options(WINRS_CODEPAGE="437")).encode()
    with suppress(wsman.RequestFault):
        wsman.parse(whole[:at] + damage + whole[at + len(damage) :])
