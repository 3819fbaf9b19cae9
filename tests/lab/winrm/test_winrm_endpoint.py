"""The endpoint as an unmodified pypsrp client meets it: sessions, streams, stops, several clients, faults."""

from __future__ import annotations

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from pypsrp.complex_objects import Color, Coordinates, GenericComplexObject, PSInvocationState, Size
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from pypsrp.host import PSHost, PSHostRawUserInterface, PSHostUserInterface
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.shell import SignalCode

from lab.machine import Account, Command, ErrorRecord, Parameter, PipelineIO, PipelineRequest, PSObject, PSValue, StreamName
from lab.winrm import Endpoint, EndpointAccount
from tests.lab.winrm.small_machine import PASSWORD, PURPLE, SmallMachine, endpoint, wsman

SHELL_NOT_FOUND = 2150858843


def pipeline(pool: RunspacePool, script: str) -> PowerShell:
    shell = PowerShell(pool)
    shell.add_script(script)
    return shell


def invoke(pool: RunspacePool, script: str) -> list[Any]:
    output: list[Any] = pipeline(pool, script).invoke()
    return output


def hello(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("hello")


def wait_long(request: PipelineRequest, io: PipelineIO) -> None:
    io.output("waiting")
    io.wait(3600)


# --- one session ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
@pytest.mark.parametrize("user", ["purple", "LAB\\purple", "purple@LAB"])
def test_a_session_from_logon_to_log_off(auth: str, user: str) -> None:
    machine = SmallMachine({"hello": hello})
    with endpoint(machine) as served:
        with wsman(served, auth=auth, username=user) as connection, RunspacePool(connection) as pool:
            assert invoke(pool, "hello") == ["hello"]
        machine.await_call("log_off")
        assert machine.calls == ["connected 127.0.0.1", "log_on LAB\\purple NTLM", "open_runspace", "run hello", "close", "log_off"]
        counts = served.counts()
    assert (counts.connections, counts.logons, counts.refused_logons) == (1, 1, 0)
    assert (counts.shells_opened, counts.shells_open, counts.pipelines, counts.scripts) == (1, 0, 1, ("hello",))


def test_objects_arrive_with_their_types_and_in_order() -> None:
    def services(request: PipelineRequest, io: PipelineIO) -> None:
        io.output(PSObject(type_names=("System.ServiceProcess.ServiceController",), properties={"Status": 4}, text="WinRM"))
        values: list[PSValue] = [True, 7, 2**40, 1.5, "text", None, [1, "a"], {"k": "v"}]
        for value in values:
            io.output(value)

    with endpoint(SmallMachine({"services": services})) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        first, *rest = invoke(pool, "services")
    assert isinstance(first, GenericComplexObject)
    assert (first.types[0], first.adapted_properties, str(first)) == (
        "System.ServiceProcess.ServiceController",
        {"Status": 4},
        "WinRM",
    )
    assert rest == [True, 7, 2**40, 1.5, "text", None, [1, "a"], {"k": "v"}]


def test_errors_do_not_end_a_pipeline_but_the_terminating_one_does() -> None:
    record = ErrorRecord(
        message="It broke.", exception_type="System.Management.Automation.RuntimeException", error_id="Broke", category="InvalidOperation"
    )

    def half(request: PipelineRequest, io: PipelineIO) -> ErrorRecord:
        io.error(record)
        io.output("after")
        return replace(record, message="It ended.", error_id="Ended")

    with endpoint(SmallMachine({"half": half})) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        shell = pipeline(pool, "half")
        assert shell.invoke() == ["after"]
        assert [(error.fq_error, str(error)) for error in shell.streams.error] == [("Broke", "It broke."), ("Ended", "It ended.")]
        assert shell.state == PSInvocationState.FAILED
        assert shell.had_errors

        shell = pipeline(pool, "nothing of the kind")
        assert shell.invoke() == []
        (error,) = shell.streams.error
        assert (error.fq_error, error.category, error.invocation_position_message) == ("CommandNotFoundException", 13, "At line:1 char:1")
        assert shell.state == PSInvocationState.COMPLETED
        assert not shell.had_errors


def test_every_stream_arrives_as_itself() -> None:
    def talk(request: PipelineRequest, io: PipelineIO) -> None:
        for stream in StreamName:
            io.record(stream, f"a {stream} with <x> & \u2713")

    with endpoint(SmallMachine({"talk": talk})) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        shell = pipeline(pool, "talk")
        shell.invoke()
        for stream in (StreamName.WARNING, StreamName.VERBOSE, StreamName.DEBUG):
            (record,) = getattr(shell.streams, stream)
            assert record.message == f"a {stream} with <x> & \u2713"
        (record,) = shell.streams.information
        assert record.message_data == "a information with <x> & \u2713"
        assert (record.computer, record.user) == ("", "")


def test_arguments_statements_and_input_reach_the_machine() -> None:
    given: list[PSValue] = []

    def take(request: PipelineRequest, io: PipelineIO) -> None:
        given.extend(request.input)

    machine = SmallMachine({"Get-Item": take})
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        shell = PowerShell(pool)
        shell.add_cmdlet("Get-Item").add_parameter("Path", "C:\\").add_parameter("Force", True).add_argument(3)
        shell.add_statement().add_cmdlet("Out-Default", use_local_scope=True)
        shell.invoke(input=(item for item in ["one", "two"]), add_to_history=True)
    (request,) = machine.requests
    assert given == ["one", "two"]
    assert replace(request, input=()) == PipelineRequest(
        commands=(
            Command(
                text="Get-Item",
                is_script=False,
                parameters=(Parameter(name="Path", value="C:\\"), Parameter(name="Force", value=True), Parameter(name=None, value=3)),
                end_of_statement=True,
            ),
            Command(text="Out-Default", is_script=False, use_local_scope=True, end_of_statement=True),
        ),
        has_input=True,
        add_to_history=True,
    )
    assert served.counts().scripts == ("Get-Item; Out-Default",)


@pytest.mark.parametrize("envelope_size", [8192, 153600])
def test_a_long_script_and_a_long_answer_travel_in_fragments(envelope_size: int) -> None:
    text = "".join(chr(0x20 + i % 90) for i in range(400_000))

    def echo(request: PipelineRequest, io: PipelineIO) -> None:
        io.output(request.commands[0].text)

    machine = SmallMachine({text: echo})
    with endpoint(machine) as served, wsman(served, max_envelope_size=envelope_size) as connection, RunspacePool(connection) as pool:
        assert invoke(pool, text) == [text]


# --- Enter-PSSession ------------------------------------------------------------------------------------------------------


class RecordingUI(PSHostUserInterface):
    def __init__(self) -> None:
        place, size = Coordinates(x=0, y=0), Size(width=120, height=50)
        super().__init__(PSHostRawUserInterface("lab", 25, Color(value=7), Color(value=0), place, place, size, size, size, size))
        self.text = ""

    def WriteLine2(self, runspace: object, pipeline: object, value: str) -> None:
        self.text += value + "\n"

    def Write1(self, runspace: object, pipeline: object, value: str) -> None:
        self.text += value


def out_default(request: PipelineRequest, io: PipelineIO) -> None:
    if io.has_host:
        io.host_write("PS ")
        io.host_write_line("C:\\>")
    else:
        io.output("no host")


def test_an_interactive_session_writes_to_its_host() -> None:
    machine = SmallMachine({"whoami": out_default})
    interface = RecordingUI()
    host = PSHost(None, None, False, "ConsoleHost", None, interface, "5.1")
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection, host=host) as pool:
        found = pool.get_command_metadata(["Out-Default", "Exit-PSSession"])
        assert [(item.name, getattr(item.command_type, "value", None), "Name" in (item.parameters or {})) for item in found] == [
            ("Out-Default", 8, True),
            ("Exit-PSSession", 8, True),
        ]
        shell = pipeline(pool, "whoami")
        shell.add_cmdlet("Out-Default", use_local_scope=True)
        assert shell.invoke(add_to_history=True) == []
        assert interface.text == "PS C:\\>\n"
        assert served.counts().scripts == ("whoami | Out-Default",)
    assert machine.calls.count("open_runspace") == 1
    assert "command_metadata Out-Default,Exit-PSSession" in machine.calls


def test_a_pipeline_without_a_host_knows_it() -> None:
    with endpoint(SmallMachine({"whoami": out_default})) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        assert invoke(pool, "whoami") == ["no host"]


# --- waiting and stopping -------------------------------------------------------------------------------------------------


def test_output_comes_while_the_pipeline_still_runs_and_silence_ends_a_poll() -> None:
    machine = SmallMachine({"wait": wait_long})
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        shell = pipeline(pool, "wait")
        shell.begin_invoke()
        shell.poll_invoke()
        assert shell.output == ["waiting"]
        with pytest.raises(WSManFaultError) as raised:
            pool.shell.receive("stdout", command_id=shell.id, timeout=1)
        assert raised.value.code == 2150858793
        shell.poll_invoke(timeout=1)  # pypsrp takes that very fault for "not yet"
        assert shell.state == PSInvocationState.RUNNING
        shell.stop()


def test_a_stop_reaches_the_machine_and_leaves_the_runspace_fit_for_more() -> None:
    machine = SmallMachine({"wait": wait_long, "hello": hello})
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        shell = pipeline(pool, "wait")
        shell.begin_invoke()
        machine.await_call("run wait")
        shell.stop()
        assert "stopped wait" in machine.calls
        shell.close()
        assert invoke(pool, "hello") == ["hello"]


def test_a_client_that_waits_sees_its_pipeline_stopped_by_another_request() -> None:
    machine = SmallMachine({"wait": wait_long})
    with endpoint(machine) as served, wsman(served) as connection, wsman(served) as second, RunspacePool(connection) as pool:
        shell = pipeline(pool, "wait")
        shell.begin_invoke()
        shell.poll_invoke()
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(shell.end_invoke)
            signals = RunspacePool(second)
            signals.shell.id = pool.shell.id
            signals.shell._selector_set = pool.shell._selector_set
            signals.shell.signal(SignalCode.CTRL_C, shell.id)
            assert waiting.result(10) == ["waiting"]
        assert shell.state == PSInvocationState.STOPPED
        assert shell.streams.error[-1].fq_error == "PipelineStopped"


def test_pipelines_of_one_runspace_run_one_after_the_other() -> None:
    gate = threading.Event()

    def first(request: PipelineRequest, io: PipelineIO) -> None:
        gate.wait(10)
        io.output("first")

    machine = SmallMachine({"first": first, "hello": hello})
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        one, two = pipeline(pool, "first"), pipeline(pool, "hello")
        one.begin_invoke()
        two.begin_invoke()
        machine.await_call("run first")
        assert "run hello" not in machine.calls
        gate.set()
        assert (one.end_invoke(), two.end_invoke()) == (["first"], ["hello"])
    assert machine.at_once == 1


def test_a_queued_pipeline_that_is_stopped_never_runs() -> None:
    machine = SmallMachine({"wait": wait_long, "hello": hello})
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        running, queued = pipeline(pool, "wait"), pipeline(pool, "hello")
        running.begin_invoke()
        machine.await_call("run wait")
        queued.begin_invoke()
        queued.stop()
        assert queued.end_invoke() == []
        assert "stopped wait" not in machine.calls
        running.stop()
    assert "run hello" not in machine.calls
    assert served.counts().scripts == ("wait",)


def test_closing_the_pool_ends_what_runs_in_it() -> None:
    machine = SmallMachine({"wait": wait_long})
    with endpoint(machine) as served, wsman(served) as connection:
        with RunspacePool(connection) as pool:
            pipeline(pool, "wait").begin_invoke()
            machine.await_call("run wait")
        assert machine.calls[-2:] == ["stopped wait", "close"]


# --- runspace pools -------------------------------------------------------------------------------------------------------


def test_the_size_of_the_pool_can_be_asked_and_set() -> None:
    with endpoint(SmallMachine()) as served, wsman(served) as connection, RunspacePool(connection, max_runspaces=2) as pool:
        assert pool.get_available_runspaces() == 2
        pool.max_runspaces = 5
        pool.min_runspaces = 2
        assert (pool.get_available_runspaces(), pool.min_runspaces) == (5, 2)
        pool.reset_runspace_state()


def test_keys_are_exchanged_on_demand() -> None:
    with endpoint(SmallMachine()) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        pool.exchange_keys()
        assert pool._key_exchanged


# --- several clients ------------------------------------------------------------------------------------------------------


def test_eight_clients_at_once_each_get_their_own_answers() -> None:
    together = threading.Barrier(8)

    def meet(request: PipelineRequest, io: PipelineIO) -> None:
        together.wait(20)
        io.output(str(request.commands[1].text))

    machine = SmallMachine({"meet": meet})

    def session(number: int) -> list[str]:
        with wsman(served) as connection, RunspacePool(connection) as pool:
            return [pipeline(pool, "meet").add_script(f"{number}.{turn}").invoke()[0] for turn in range(3)]

    with endpoint(machine) as served, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(session, range(8)))
        counts = served.counts()
    assert answers == [[f"{number}.{turn}" for turn in range(3)] for number in range(8)]
    assert machine.at_once == 8
    assert (counts.logons, counts.shells_opened, counts.shells_open, counts.pipelines) == (8, 8, 0, 24)
    assert len(set(counts.scripts)) == 24


def test_two_hosts_with_accounts_of_their_own_in_one_process() -> None:
    blue = EndpointAccount(account=Account(domain="LAB", name="blue", sid="S-1-5-21-1-2-3-1106"), password="other")
    one, two = SmallMachine({"hello": hello}), SmallMachine({"hello": hello})
    with endpoint(one) as first, endpoint(two, accounts=[blue]) as second:
        with wsman(first) as connection, RunspacePool(connection) as pool:
            assert invoke(pool, "hello") == ["hello"]
        with wsman(second, username="blue", password="other") as connection, RunspacePool(connection) as pool:
            assert invoke(pool, "hello") == ["hello"]
        with wsman(second) as connection, pytest.raises(AuthenticationError):
            RunspacePool(connection).open()
        assert second.counts().refused_logons == 1
    assert ("log_on LAB\\purple NTLM" in one.calls, "log_on LAB\\blue NTLM" in one.calls) == (True, False)
    assert ("log_on LAB\\purple NTLM" in two.calls, "log_on LAB\\blue NTLM" in two.calls) == (False, True)


# --- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
@pytest.mark.parametrize(("user", "password"), [("LAB\\purple", "wrong"), ("LAB\\nobody", PASSWORD), ("ELSEWHERE\\purple", PASSWORD)])
def test_who_is_not_known_is_not_let_in(auth: str, user: str, password: str) -> None:
    machine = SmallMachine({"hello": hello})
    with endpoint(machine) as served:
        with wsman(served, auth=auth, username=user, password=password) as connection, pytest.raises(AuthenticationError):
            RunspacePool(connection).open()
        assert served.counts().refused_logons == 1
        with wsman(served) as connection, RunspacePool(connection) as pool:
            assert invoke(pool, "hello") == ["hello"]
    assert machine.calls.count("log_on LAB\\purple NTLM") == 1


def test_plain_text_is_refused_and_nothing_is_opened() -> None:
    machine = SmallMachine()
    with endpoint(machine) as served, wsman(served, encryption="never") as connection:
        with pytest.raises(WinRMTransportError) as raised:
            RunspacePool(connection).open()
        assert (raised.value.code, raised.value.response_text) == (500, "")
    assert "open_runspace" not in machine.calls


def test_a_shell_is_nobodys_but_its_owners() -> None:
    blue = Account(domain="LAB", name="blue", sid="S-1-5-21-1-2-3-1106")
    users = [EndpointAccount(account=PURPLE, password=PASSWORD), EndpointAccount(account=blue, password="other")]
    with endpoint(SmallMachine({"hello": hello}), accounts=users) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        with wsman(served, username="blue", password="other") as stranger:
            theirs = RunspacePool(stranger)
            theirs.shell.id, theirs.shell._selector_set = pool.shell.id, pool.shell._selector_set
            with pytest.raises(WSManFaultError) as raised:
                theirs.shell.signal(SignalCode.TERMINATE, "00000000-0000-0000-0000-000000000001")
            assert raised.value.code == SHELL_NOT_FOUND
        assert invoke(pool, "hello") == ["hello"]


def test_an_unknown_command_and_a_second_shell_of_one_id_are_faults() -> None:
    with endpoint(SmallMachine({"hello": hello})) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        with pytest.raises(WSManFaultError) as raised:
            pool.shell.receive("stdout", command_id="00000000-0000-0000-0000-000000000001", timeout=1)
        assert raised.value.code == SHELL_NOT_FOUND
        twin = RunspacePool(connection)
        twin.id = twin.shell.id = pool.id
        with pytest.raises(WSManFaultError) as raised:
            twin.open()
        assert raised.value.code == 2150858851
        assert invoke(pool, "hello") == ["hello"]


def test_the_same_command_sent_twice_runs_once() -> None:
    machine = SmallMachine({"hello": hello})
    with endpoint(machine) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        shell = pipeline(pool, "hello")
        with mock.patch.object(pool.shell, "command", wraps=pool.shell.command) as command:
            assert shell.invoke() == ["hello"]
        with pytest.raises(WSManFaultError) as raised:
            pool.shell.command(*command.call_args.args, **command.call_args.kwargs)
        assert raised.value.code == 2150859222
    assert served.counts().scripts == ("hello",)
    assert machine.calls.count("run hello") == 1


def whole_fragment(content: bytes) -> bytes:
    return struct.pack(">QQBI", 1000, 0, 3, len(content)) + content


def message(kind: int, content: bytes) -> bytes:
    return struct.pack("<II32x", 2, kind) + content


def test_fragments_that_are_no_psrp_break_the_shell_and_only_it() -> None:
    machine = SmallMachine({"hello": hello})
    with endpoint(machine) as served, wsman(served) as connection:
        good = RunspacePool(connection)
        good.open()
        for junk in (b"junk", whole_fragment(b"abcde"), whole_fragment(message(0x00010004, b"<x/>!")), whole_fragment(message(9, b"<x/>"))):
            with wsman(served) as other:
                bad = RunspacePool(other)
                bad.open()
                with pytest.raises(WSManFaultError) as raised:
                    bad.shell.send("stdin", junk)
                assert raised.value.code == 2150858883
                with pytest.raises(WSManFaultError) as raised:
                    bad.shell.receive("stdout", timeout=1)
                assert raised.value.code == SHELL_NOT_FOUND
        assert invoke(good, "hello") == ["hello"]
        good.close()
        machine.await_call("close", 5)
        assert served.counts().shells_open == 0


def test_a_shell_that_begins_with_no_psrp_never_opens_a_runspace() -> None:
    machine = SmallMachine()
    with endpoint(machine) as served, wsman(served) as connection:
        pool = RunspacePool(connection)
        with mock.patch.object(pool._fragmenter, "fragment_multiple", return_value=[b"junk"]), pytest.raises(WSManFaultError) as raised:
            pool.open()
        assert raised.value.code == 2150858883
        assert served.counts().shells_opened == 0
    assert "open_runspace" not in machine.calls


def test_what_the_service_does_not_do_is_a_fault_and_the_session_goes_on() -> None:
    with endpoint(SmallMachine({"hello": hello})) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        with pytest.raises(WSManFaultError) as raised:
            connection.put(pool.shell.resource_uri, selector_set=pool.shell._selector_set)
        assert raised.value.code == 2150858753
        assert invoke(pool, "hello") == ["hello"]


def test_a_machine_that_breaks_fails_the_pipeline_not_the_session(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(request: PipelineRequest, io: PipelineIO) -> None:
        raise ZeroDivisionError

    with (
        endpoint(SmallMachine({"breaks": breaks, "hello": hello})) as served,
        wsman(served) as connection,
        RunspacePool(connection) as pool,
    ):
        shell = pipeline(pool, "breaks")
        shell.invoke()
        assert shell.state == PSInvocationState.FAILED
        assert shell.streams.error[0].fq_error == "MachineBroke"
        assert invoke(pool, "hello") == ["hello"]
    assert "ZeroDivisionError" in caplog.text


# --- ends -----------------------------------------------------------------------------------------------------------------


def test_an_idle_shell_is_reaped_and_its_id_is_gone() -> None:
    machine = SmallMachine({"hello": hello})
    with endpoint(machine, idle_timeout=0.2) as served, wsman(served) as connection:
        pool = RunspacePool(connection)
        pool.open()
        assert invoke(pool, "hello") == ["hello"]
        machine.await_call("close")
        with pytest.raises(WSManFaultError) as raised:
            invoke(pool, "hello")
        assert raised.value.code == SHELL_NOT_FOUND
        assert (served.counts().shells_opened, served.counts().shells_open) == (1, 0)


def test_a_client_may_ask_for_a_shorter_idle_time_of_its_own() -> None:
    machine = SmallMachine()
    with endpoint(machine, idle_timeout=2.0) as served, wsman(served) as connection:
        with RunspacePool(connection) as pool:
            assert str(pool.shell.idle_time_out) == "PT2.000S"
        with RunspacePool(connection, idle_timeout=1) as pool:
            assert str(pool.shell.idle_time_out) == "PT1.000S"
        with RunspacePool(connection, idle_timeout=9) as pool:
            assert str(pool.shell.idle_time_out) == "PT2.000S"


def test_a_shell_whose_client_waits_is_not_idle() -> None:
    gate = threading.Event()

    def slow(request: PipelineRequest, io: PipelineIO) -> None:
        gate.wait(10)
        io.output("slow")

    with endpoint(SmallMachine({"slow": slow}), idle_timeout=0.1) as served, wsman(served) as connection:
        pool = RunspacePool(connection)
        pool.open()
        shell = pipeline(pool, "slow")
        shell.begin_invoke()
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(shell.end_invoke)
            reaped = threading.Event()
            reaped.wait(0.5)  # five idle times pass while the client waits
            gate.set()
            assert waiting.result(10) == ["slow"]


def test_a_stop_of_the_endpoint_ends_sockets_shells_and_threads() -> None:
    machine = SmallMachine({"wait": wait_long})
    before = set(threading.enumerate())
    with endpoint(machine) as served:
        connection = wsman(served).__enter__()
        pool = RunspacePool(connection)
        pool.open()
        shell = pipeline(pool, "wait")
        shell.begin_invoke()
        machine.await_call("run wait")
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(shell.end_invoke)
            served.stop()
            assert waiting.exception(10) is not None
        served.stop()
        assert served.counts().shells_open == 0
    assert set(threading.enumerate()) == before
    assert machine.calls[-2:].count("close") == 1
    assert "log_off" in machine.calls
    connection.close()


def test_an_address_in_use_is_an_error_at_start() -> None:
    with endpoint(SmallMachine()) as served:
        twin = Endpoint(machine=SmallMachine(), accounts=[EndpointAccount(account=PURPLE, password=PASSWORD)], port=served.port)
        with pytest.raises(OSError, match="in use"):
            twin.start()
        twin.stop()
