"""The transport against a real endpoint: what each action is on the wire, and what it brings back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from threading import enumerate as threads

import pytest

from harness.clock import SystemClock
from harness.errors import AuthenticationFailed, ConnectFailed, Refused
from harness.model.facts import Execution, StreamKind
from harness.model.intent import Action, Auth, Channel, Connect, EnterPSSession, InvokeCommand
from harness.transports.credential import Credential, Timeouts
from harness.transports.line import Line
from harness.transports.psrp.identity import EXPRESSION
from harness.transports.winrm import WinrmTransport
from lab.machine import ErrorRecord, Parameter, PipelineIO, PipelineRequest, StreamName
from lab.winrm import Endpoint
from tests.transports.psrp.scripted_machine import (
    HOST_ID,
    PASSWORD,
    PROCESS_ID,
    RUNSPACE_ID,
    ScriptedMachine,
    fails,
    says,
    served,
    target,
    transport,
)


@pytest.fixture
def machine() -> ScriptedMachine:
    return ScriptedMachine()


@pytest.fixture
def endpoint(machine: ScriptedMachine) -> Iterator[Endpoint]:
    with served(machine) as started:
        yield started


def play(endpoint: Endpoint, action: Action, auth: Auth = Auth.NTLM) -> Execution:
    session = transport().open(target(endpoint.port, auth=auth), action)
    try:
        return session.run(10, Event())
    finally:
        session.close()


def test_invoke_command_is_one_pipeline_and_nothing_else(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays["Get-Name"] = says("ws6", "second")
    execution = play(endpoint, InvokeCommand(script="Get-Name"))
    assert execution == Execution(output=("ws6", "second"), forms=("script",))
    (request,) = machine.requests
    (command,) = request.commands
    assert command.is_script
    assert endpoint.counts().shells_open == 0


@pytest.mark.parametrize("auth", [Auth.NTLM, Auth.NEGOTIATE])
def test_both_ways_to_authenticate_work(machine: ScriptedMachine, endpoint: Endpoint, auth: Auth) -> None:
    machine.plays["x"] = says("y")
    assert play(endpoint, InvokeCommand(script="x"), auth).output == ("y",)


def test_arguments_arrive_as_objects_by_name(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays["param($Path, $Deep)"] = says()
    play(
        endpoint,
        InvokeCommand(
            script="param($Path, $Deep)",
            arguments={"Path": "C:\\a b", "Deep": True, "Count": 3, "Big": 2**40, "List": ["a", 1], "None": None},
        ),
    )
    (request,) = machine.requests
    assert request.commands[0].parameters == (
        Parameter(name="Path", value="C:\\a b"),
        Parameter(name="Deep", value=True),
        Parameter(name="Count", value=3),
        Parameter(name="Big", value=2**40),
        Parameter(name="List", value=["a", 1]),
        Parameter(name="None", value=None),
    )


def test_an_interactive_session_probes_prompts_and_types_into_one_runspace(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays |= {"Get-Service": says("Running WinRM"), "$x = 1; $x": says("1")}
    execution = play(endpoint, EnterPSSession(lines=("Get-Service -Name WinRM", "$x = 1; $x")))
    assert execution.output == ("Running WinRM", "1")
    assert execution.forms == ("command", "script")
    assert machine.opened == 1
    assert machine.texts == ["prompt", "Get-Service", "prompt", "$x = 1; $x", "prompt", "Exit-PSSession"]
    typed, scripted = machine.requests[1], machine.requests[3]
    assert not typed.commands[0].is_script
    assert typed.commands[0].parameters == (Parameter(name="-Name", value=None), Parameter(name=None, value="WinRM"))
    assert typed.commands[0].merge_to_output
    assert scripted.commands[0].is_script
    for request in (typed, scripted):
        assert request.commands[1].text == "Out-Default"
        assert request.commands[1].use_local_scope
        assert request.add_to_history
    assert len(machine.requests[0].commands) == 1


def test_a_typed_exit_ends_the_session_as_it_does_at_the_console(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays["Get-Date"] = says("today")
    execution = play(endpoint, EnterPSSession(lines=("Get-Date", "", " EXIT ", "Get-Date")))
    assert machine.texts == ["prompt", "Get-Date", "prompt", "Exit-PSSession"]
    assert execution.forms == ("command",)


def test_a_session_that_lacks_out_default_is_not_entered(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.commands.remove("Out-Default")
    with pytest.raises(Refused, match="Out-Default"):
        play(endpoint, EnterPSSession(lines=("Get-Date",)))
    assert machine.texts == []


def test_connect_opens_a_runspace_and_runs_nothing(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    assert play(endpoint, Connect()) == Execution()
    assert machine.opened == 1
    assert machine.requests == []


def test_streams_come_back_as_records(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    def noisy(request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        io.error(
            ErrorRecord(message="not there", exception_type="System.Exception", error_id="PathNotFound,Get-Item", category="ObjectNotFound")
        )
        for stream in StreamName:
            io.record(stream, f"a {stream}")
        io.host_write("to the ")
        io.host_write_line("host")
        return None

    machine.plays["noisy"] = noisy
    execution = play(endpoint, InvokeCommand(script="noisy"))
    assert [(record.stream, record.text, record.error_id) for record in execution.records] == [
        (StreamKind.ERROR, "not there", "PathNotFound,Get-Item"),
        (StreamKind.WARNING, "a warning", ""),
        (StreamKind.VERBOSE, "a verbose", ""),
        (StreamKind.DEBUG, "a debug", ""),
        (StreamKind.INFORMATION, "a information", ""),
    ]
    assert execution.output == ("to the host",)
    assert execution.terminated == ""


def test_a_terminating_error_is_a_value_and_ends_the_typing(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays |= {"Get-Nothing": fails("The term is not recognized", "CommandNotFoundException"), "Get-Date": says("today")}
    execution = play(endpoint, EnterPSSession(lines=("Get-Nothing", "Get-Date")))
    assert execution.terminated == "The term is not recognized"
    assert [(record.stream, record.error_id) for record in execution.records] == [(StreamKind.ERROR, "CommandNotFoundException")]
    assert "Get-Date" not in machine.texts
    assert machine.texts[-1] == "Exit-PSSession"


def test_the_identity_is_read_after_the_action_in_a_pipeline_of_its_own(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays["x"] = says("y")
    machine.exit_code = "3"
    session = transport().open(target(endpoint.port, seen_from="10.0.5.77"), InvokeCommand(script="x"))
    session.run(10, Event())
    before = session.identity
    footprint = session.identify()
    session.close()
    assert machine.texts == ["x", EXPRESSION]
    assert machine.requests[1].commands[0].is_script
    assert len(machine.requests[1].commands) == 1
    assert footprint.script == EXPRESSION
    assert footprint.target_time == datetime(2026, 11, 21, 10, 11, 12, 123456, tzinfo=UTC)
    assert footprint.started_at <= footprint.finished_at
    identity = session.identity
    assert (identity.process_id, identity.host_id, identity.runspace_id) == (PROCESS_ID, str(HOST_ID), str(RUNSPACE_ID))
    assert session.exit_code == 3
    assert before.process_id is None
    assert {socket.ip for socket in identity.sockets} == {"10.0.5.77"}


def test_every_socket_of_the_session_is_known(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    session = transport().open(target(endpoint.port), Connect())
    session.run(10, Event())
    session.identify()
    session.close()
    assert {(socket.ip, socket.port) for socket in session.identity.sockets} == {(peer.ip, peer.port) for peer in machine.peers}
    assert len(machine.peers) == endpoint.counts().connections


def test_no_two_sessions_share_a_connection(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    ways = transport()
    identities = []
    for _ in range(2):
        session = ways.open(target(endpoint.port), Connect())
        session.close()
        identities.append(session.identity)
    assert not set(identities[0].sockets) & set(identities[1].sockets)


def test_the_vetted_address_is_connected_to_whatever_the_name_resolves_to(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    ways = transport(addresses={"ws6": "127.0.0.1"})
    session = ways.open(target(endpoint.port, host="ws6.lab.invalid"), Connect())
    session.close()
    assert machine.opened == 1


def test_a_wrong_password_is_told_without_the_password(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    wrong = "not-the-passw0rd"
    with pytest.raises(AuthenticationFailed) as caught:
        transport(password=wrong).open(target(endpoint.port), Connect())
    assert wrong not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    counts = endpoint.counts()
    assert counts.refused_logons == 1  # one try: more could lock the account
    identity = caught.value.identity
    assert [(socket.ip, socket.port) for socket in identity.sockets] == [(peer.ip, peer.port) for peer in machine.peers]  # type: ignore[attr-defined]


def test_a_target_without_credentials_is_not_connected_to(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    other = target(endpoint.port)
    with pytest.raises(AuthenticationFailed, match="no credentials"):
        WinrmTransport(credentials={}, clock=SystemClock(), addresses={other.name: other.host}).open(other, Connect())
    assert machine.peers == []


def test_a_target_without_a_vetted_address_is_not_connected_to(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    """Its name would resolve here; but nobody looked whether what it resolves to is in scope."""
    with pytest.raises(ConnectFailed, match="no address"):
        transport(addresses={}).open(target(endpoint.port, host="localhost"), Connect())
    assert machine.peers == []


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.CERTIFICATE])
def test_what_cannot_be_done_safely_is_refused_before_a_packet(machine: ScriptedMachine, endpoint: Endpoint, auth: Auth) -> None:
    with pytest.raises(AuthenticationFailed):
        transport().open(target(endpoint.port, auth=auth), Connect())
    assert machine.peers == []


def test_a_closed_port_is_no_connection_and_has_no_sockets() -> None:
    with served(ScriptedMachine()) as endpoint:
        port = endpoint.port
    with pytest.raises(ConnectFailed, match="Connection refused") as caught:
        transport().open(target(port), Connect())
    assert caught.value.identity.sockets == ()  # type: ignore[attr-defined]


def test_the_password_is_in_nothing_that_comes_back(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays["leak"] = says(f"it is {PASSWORD}!")
    execution = play(endpoint, InvokeCommand(script="leak"))
    assert PASSWORD not in repr(execution)
    assert execution.output == ("it is ***!",)


def test_closing_again_does_nothing_and_no_thread_is_left(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    before = {thread for thread in threads() if not thread.name.startswith("winrm-")}
    session = transport().open(target(endpoint.port), Connect())
    session.close()
    session.close()
    assert endpoint.counts().shells_open == 0
    assert {thread for thread in threads() if not thread.name.startswith("winrm-")} <= before


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places as often as they can, so that what the client library shares between its objects shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_many_sessions_at_once_do_not_hurt_each_other(machine: ScriptedMachine, endpoint: Endpoint) -> None:
    machine.plays["x"] = says("y")
    ways = transport()

    def several(_: int) -> list[tuple[str, ...]]:
        outputs = []
        for _ in range(4):
            session = ways.open(target(endpoint.port), InvokeCommand(script="x"))
            outputs.append(session.run(60, Event()).output)
            session.close()
        return outputs

    with ThreadPoolExecutor(max_workers=6) as pool:
        assert list(pool.map(several, range(6))) == [[("y",)] * 4] * 6
    assert endpoint.counts().shells_open == 0


@pytest.mark.usefixtures("restless")
def test_clients_can_be_made_in_many_threads_at_once() -> None:
    """pypsrp's WSMan objects trip over each other in a table of xml.etree's while they are made."""

    def several(_: int) -> int:
        for _ in range(250):
            line = Line(
                target=target(1),
                credential=Credential(user="u", password="p"),
                channel=Channel(),
                address="127.0.0.1",
                clock=SystemClock(),
                timeouts=Timeouts(),
            )
            line.connect()
        return 1

    with ThreadPoolExecutor(max_workers=6) as pool:
        assert sum(pool.map(several, range(6))) == 6
