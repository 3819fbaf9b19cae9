"""The client's host: what it collects, and that whatever asks is answered. The answers are read by psrpcore, which did not write them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from psrpcore.types import PSCryptoProvider, deserialize
from pypsrp.complex_objects import HostMethodIdentifier
from pypsrp.messages import Destination, Message, PipelineHostCall, PipelineHostResponse, WarningRecord
from pypsrp.wsman import WSMan

from harness.model.facts import StreamKind, StreamRecord
from harness.transports.psrp.client import _Pool
from harness.transports.psrp.console import Console, host

_FRAGMENT_HEADER, _MESSAGE_HEADER = 21, 40
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_ANSWER = -100


class Answers:
    """The pool's way out: keeps what would have been sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, stream: str, data: bytes, command_id: str | None = None) -> None:
        assert stream == "pr"
        self.sent.append(data)


def call(method: int, *arguments: object, ci: int = 7) -> tuple[Console, list[Any]]:
    """Let the target call a host method; the console, and the answers as the target reads them."""
    console = Console()
    pool = _Pool(WSMan("ws6", username="u", password="p"), host(console))
    answers = Answers()
    pool.shell = answers  # type: ignore[assignment]  # only its way out is of interest
    asked = PipelineHostCall(ci=ci, mi=HostMethodIdentifier(value=method), mp=list(arguments))  # type: ignore[no-untyped-call]
    pool._process_host_call(Message(Destination.CLIENT, pool.id, None, asked, pool._serializer), PipelineHostResponse)
    read = []
    for fragment in answers.sent:
        body = fragment[_FRAGMENT_HEADER + _MESSAGE_HEADER :].removeprefix(_BYTE_ORDER_MARK)
        read.append(deserialize(ET.fromstring(body), PSCryptoProvider()))
    return console, read


@pytest.mark.parametrize(
    "method",
    [4, 5, 7, 11, 12, 23, 24, 25, 26, 46, 50, 54, 55, 56],
    ids=lambda method: str(HostMethodIdentifier(value=method)),  # type: ignore[no-untyped-call]
)
def test_whatever_asks_is_refused_at_once(method: int) -> None:
    _, (answer,) = call(method)
    assert answer.ci == 7
    assert answer.mr is None
    assert "nobody sits at this session" in answer.me.Exception.Message
    assert answer.me.FullyQualifiedErrorId == "InteractionNotAvailable"


def test_what_the_console_knows_of_itself_is_answered() -> None:
    _, (name,) = call(1)
    assert name.mr == "ConsoleHost"
    _, (title,) = call(41)
    assert title.mr == "Windows PowerShell"


@pytest.mark.parametrize(("method", "arguments"), [(16, ["a line"]), (6, [3]), (53, []), (20, [1, "x"]), (99, [])])
def test_what_expects_no_answer_gets_none(method: int, arguments: list[object]) -> None:
    _, answers = call(method, *arguments, ci=_NO_ANSWER)
    assert answers == []


def test_what_is_written_is_kept_in_lines_and_taken_once() -> None:
    console = Console()
    console.Write1(None, None, "Status  ")  # type: ignore[arg-type]
    console.WriteLine2(None, None, "Name")  # type: ignore[arg-type]
    console.WriteLine1(None, None)  # type: ignore[arg-type]
    console.WriteLine3(None, None, 1, 2, "Running WinRM")  # type: ignore[arg-type]
    console.WriteErrorLine(None, None, "whoami : not")
    console.WriteErrorLine(None, None, "found")
    console.WriteWarningLine(None, None, "careful")
    assert console.take() == (
        ("Status  Name", "", "Running WinRM"),
        (
            StreamRecord(stream=StreamKind.ERROR, text="whoami : not\nfound"),
            StreamRecord(stream=StreamKind.WARNING, text="careful"),
        ),
    )
    assert console.take() == ((), ())


def test_a_warning_outside_any_pipeline_is_shown_in_the_hosts_window() -> None:
    console = Console()
    pool = _Pool(WSMan("ws6", username="u", password="p"), host(console))
    warning = WarningRecord(message="the profile is slow")  # type: ignore[no-untyped-call]
    pool._process_runspacepool_warning(Message(Destination.CLIENT, pool.id, None, warning, pool._serializer))
    assert console.take() == ((), (StreamRecord(stream=StreamKind.WARNING, text="the profile is slow"),))
