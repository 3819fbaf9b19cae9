"""Hostile SOAP: damaged envelopes, of every operation there is, at a service with shells in it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import psrpcore
import pytest
from hypothesis import given
from pypsrp.wsman import NAMESPACES

from lab.machine import CommandIO, CommandLine
from lab.winrm.config import Quotas, Settings
from lab.winrm.service import Client, Service, Tally
from tests.fuzz.fuzzing import FUZZ, SOAK, assert_nothing_stays, damaged, in_time, nothing_is_done, samples
from tests.lab.winrm.small_machine import PURPLE, SmallLogon, SmallMachine

SHELL = "0B29FC40-CA47-1067-B31D-00DD010662DA"
COMMAND = "1C29FC40-CA47-1067-B31D-00DD010662DA"
SPACES = {
    "s": NAMESPACES["s"],
    "a": NAMESPACES["wsa"],
    "w": NAMESPACES["wsman"],
    "p": NAMESPACES["wsmv"],
    "rsp": NAMESPACES["rsp"],
    "n": NAMESPACES["wsen"],
}
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
POWERSHELL = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
CMD = f"{SPACES['rsp']}/cmd"


def envelope(action: str, uri: str, body: str, *, shell: str = SHELL) -> bytes:
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in SPACES.items())
    selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
    return (
        f"<s:Envelope {spaces}><s:Header><a:To>http://x/wsman</a:To><a:MessageID>uuid:1</a:MessageID>"
        f'<a:Action s:mustUnderstand="true">{action}</a:Action><w:ResourceURI>{uri}</w:ResourceURI>'
        '<w:MaxEnvelopeSize s:mustUnderstand="true">153600</w:MaxEnvelopeSize>'
        f"<w:OperationTimeout>PT0S</w:OperationTimeout><p:SessionId>uuid:2</p:SessionId>{selector}"
        '<w:OptionSet><w:Option Name="WINRS_CODEPAGE">65001</w:Option></w:OptionSet></s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _creation() -> str:
    pool = psrpcore.ClientRunspacePool()
    pool.open()
    payload = pool.data_to_send()
    assert payload is not None
    return b64encode(payload.data).decode()


RSP = SPACES["rsp"]
NEW = (
    f'<rsp:Shell ShellId="{SHELL}" Name="n"><rsp:IdleTimeOut>PT60S</rsp:IdleTimeOut><rsp:InputStreams>stdin pr</rsp:InputStreams>'
    "<rsp:OutputStreams>stdout</rsp:OutputStreams>"
)
_OURS = 'xmlns="http://schemas.microsoft.com/powershell"'
_IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
_VARIABLES = '<rsp:Environment><rsp:Variable Name="A">b</rsp:Variable></rsp:Environment>'
_SAY = "<rsp:Command>say</rsp:Command><rsp:Arguments>x</rsp:Arguments>"
_BOTH = f'<rsp:Receive><rsp:DesiredStream CommandId="{COMMAND}">stdout stderr</rsp:DesiredStream></rsp:Receive>'
_LEAVE = "<rsp:Disconnect><rsp:IdleTimeOut>PT1S</rsp:IdleTimeOut><rsp:BufferMode>Drop</rsp:BufferMode></rsp:Disconnect>"
_FILTER = f'<w:Filter><w:SelectorSet><w:Selector Name="ShellId">{SHELL}</w:Selector></w:SelectorSet></w:Filter>'
ENVELOPES = (
    envelope(f"{TRANSFER}/Create", POWERSHELL, f"{NEW}<creationXml {_OURS}>{_creation()}</creationXml></rsp:Shell>", shell=""),
    envelope(f"{TRANSFER}/Create", CMD, f"{NEW}{_VARIABLES}</rsp:Shell>", shell=""),
    envelope(f"{RSP}/Command", CMD, f'<rsp:CommandLine CommandId="{COMMAND}">{_SAY}</rsp:CommandLine>'),
    envelope(f"{RSP}/Send", CMD, f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{COMMAND}" End="true">QQ==</rsp:Stream></rsp:Send>'),
    envelope(f"{RSP}/Receive", CMD, _BOTH),
    envelope(f"{RSP}/Receive", POWERSHELL, "<rsp:Receive><rsp:DesiredStream>stdout</rsp:DesiredStream></rsp:Receive>"),
    envelope(f"{RSP}/Signal", CMD, f'<rsp:Signal CommandId="{COMMAND}"><rsp:Code>{RSP}/signal/terminate</rsp:Code></rsp:Signal>'),
    envelope(f"{RSP}/Disconnect", POWERSHELL, _LEAVE),
    envelope(f"{RSP}/Reconnect", POWERSHELL, "<rsp:Reconnect/>"),
    envelope(f"{RSP}/Connect", POWERSHELL, f"<rsp:Connect><connectXml {_OURS}>AAAA</connectXml></rsp:Connect>"),
    envelope(f"{TRANSFER}/Get", RSP, ""),
    envelope(f"{TRANSFER}/Get", "http://schemas.microsoft.com/wbem/wsman/1/config", "", shell=""),
    envelope(f"{SPACES['n']}/Enumerate", RSP, "<n:Enumerate><w:OptimizeEnumeration/></n:Enumerate>", shell=""),
    envelope(f"{SPACES['n']}/Enumerate", f"{RSP}/Command", f"<n:Enumerate>{_FILTER}</n:Enumerate>", shell=""),
    envelope(f"{SPACES['n']}/Pull", RSP, "<n:Pull><n:EnumerationContext>x</n:EnumerationContext></n:Pull>", shell=""),
    envelope(f"{TRANSFER}/Delete", CMD, ""),
    f'<s:Envelope xmlns:s="{SPACES["s"]}"><s:Body><i:Identify xmlns:i="{_IDENTITY}"/></s:Body></s:Envelope>'.encode(),
)
WORDS = (
    b"<",
    b">",
    b"&",
    b"&#0;",
    b"&#x10FFFF;",
    b"&lt;",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"<?x?>",
    b'"',
    b"'",
    b"</",
    b"/>",
    b"xmlns=",
    b"s:",
    b"PT99999999S",
    b"P",
    b"-1",
    b"99999999999999999999",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"uuid:",
    b"stdout",
    b"pr",
    b"True",
    b"=" * 9,
    SHELL.encode(),
    COMMAND.encode(),
    CMD.encode(),
    POWERSHELL.encode(),
    TRANSFER.encode(),
    b"/Create",
    b"/Delete",
    b"/Command",
    b"<x>" * 50,
)
_FAULT = re.compile(rb'<f:WSManFault [^>]*Code="\d+"')


def say(line: CommandLine, io: CommandIO) -> int:
    io.stdout(line.text)
    return 0


@dataclass
class Bare:
    """A service and its client, without sockets."""

    service: Service
    client: Client
    machine: SmallMachine

    def handle(self, data: bytes) -> None:
        reply = self.service.handle(data, self.client)
        ElementTree.fromstring(reply.envelope)
        assert reply.is_fault == (_FAULT.search(reply.envelope.replace(b"\0", b"")) is not None)
        self.machine.calls.clear()


@pytest.fixture(scope="module")
def bare() -> Iterator[Bare]:
    machine = SmallMachine(lines={"say": say})
    settings = Settings(schemes=frozenset(), allow_unencrypted=True, channel_binding="None", idle_timeout=60, quotas=Quotas(max_shells=5))
    service = Service(name="x", settings=settings, tally=Tally())
    client = Client(account=PURPLE, logon=SmallLogon(machine), ip="127.0.0.1", still_there=lambda: True)
    yield Bare(service, client, machine)
    service.stop()


@given(damaged(ENVELOPES, WORDS))
@FUZZ
def test_any_envelope_is_answered_with_an_envelope(bare: Bare, data: bytes) -> None:
    with in_time(), nothing_is_done():
        bare.handle(data)


def test_nothing_of_them_stays(bare: Bare) -> None:
    def soak(number: int) -> None:
        for data in samples(ENVELOPES, WORDS, SOAK, seed=number):
            bare.handle(data)
        for held in bare.service._all():
            bare.service._close(held)

    assert_nothing_stays(soak)
