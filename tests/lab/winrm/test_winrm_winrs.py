"""Command shells as unmodified pywinrm and pypsrp meet them: lines, streams, input, signals, code pages, several at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypsrp.client import Client
from pypsrp.exceptions import WSManFaultError
from pypsrp.powershell import RunspacePool
from pypsrp.shell import Process, SignalCode, WinRS
from winrm import Session
from winrm.exceptions import WinRMOperationTimeoutError
from winrm.exceptions import WSManFaultError as TheirFault
from winrm.protocol import Protocol

from lab.machine import CommandIO, CommandLine, PipelineStopped
from lab.winrm import Endpoint, Quotas
from tests.lab.winrm.small_machine import PASSWORD, SmallMachine, endpoint, wsman

MAX_PROCESSES = Quotas().max_processes


def greet(line: CommandLine, io: CommandIO) -> int:
    io.stdout("hello ü\r\n")
    io.stderr("oh\r\n")
    return 3


def echo(line: CommandLine, io: CommandIO) -> int:
    io.stdout(line.text)
    return 0


def cat(line: CommandLine, io: CommandIO) -> int:
    while (read := io.read_line()) is not None:
        io.stdout(f"<{read}>")
    return 0


def wait_long(line: CommandLine, io: CommandIO) -> int:
    io.stdout("waiting")
    io.wait(3600)
    return 0


def flood(line: CommandLine, io: CommandIO) -> int:
    for number in range(300):
        io.stdout("x" * 10_000)
        io.stderr(f"{number};")
    return 0


def small() -> SmallMachine:
    return SmallMachine(lines={"greet": greet, "echo": echo, "cat": cat, "wait": wait_long, "flood": flood})


def session(served: Endpoint) -> Session:
    # pywinrm reads addresses of names only: an IPv6 address needs a Protocol.
    return Session(
        f"http://127.0.0.1:{served.port}/wsman", auth=("LAB\\purple", PASSWORD), transport="ntlm", server_cert_validation="ignore"
    )


def protocol(served: Endpoint, **more: Any) -> Protocol:
    place = f"http://127.0.0.1:{served.port}/wsman"
    return Protocol(place, transport="ntlm", username="LAB\\purple", password=PASSWORD, server_cert_validation="ignore", **more)


@contextmanager
def shell_of(served: Endpoint, **more: Any) -> Iterator[WinRS]:
    with wsman(served) as connection, WinRS(connection, **more) as shell:
        yield shell


def test_a_session_of_pywinrm() -> None:
    machine = small()
    with endpoint(machine) as served:
        answer = session(served).run_cmd("greet", ["a b", "c"])
        assert (answer.status_code, answer.std_out, answer.std_err) == (3, "hello ü\r\n".encode("cp437"), b"oh\r\n")
        assert (served.counts().shells_opened, served.counts().shells_open) == (1, 0)
        assert served.counts().scripts == ("greet a b c",)
    assert machine.calls[2:] == ["open_command_shell {} ''", "line greet a b c", "close", "log_off"]


def test_a_client_of_pypsrp() -> None:
    machine = small()
    with endpoint(machine) as served:
        client = Client("127.0.0.1", port=served.port, ssl=False, auth="negotiate", username="LAB\\purple", password=PASSWORD)
        with client:
            assert client.execute_cmd("greet", environment={"ONE": "1", "TWO": "a=b c"}) == ("hello ü\r\n", "oh\r\n", 3)
    assert "open_command_shell {'ONE': '1', 'TWO': 'a=b c'} ''" in machine.calls


def test_arguments_in_several_elements_and_a_program_without_cmd() -> None:
    machine = small()
    with endpoint(machine) as served, shell_of(served, working_directory="C:\\Windows\\Temp", no_profile=True) as shell:
        process = Process(shell, "echo", ["one", "two three"])
        process.invoke()
        assert (process.stdout, process.rc) == (b"echo one two three", 0)
        Process(shell, "echo", ["x"], no_shell=True).invoke()
    assert machine.calls[2] == "open_command_shell {} 'C:\\\\Windows\\\\Temp'"
    assert "line echo x without cmd" in machine.calls


@pytest.mark.parametrize(("code_page", "sent"), [(437, "cp437"), (850, "cp850"), (1252, "cp1252"), (65001, "utf-8")])
def test_streams_are_in_the_shells_code_page(code_page: int, sent: str) -> None:
    with endpoint(small()) as served:
        far = protocol(served)
        shell = far.open_shell(codepage=code_page)
        command = far.run_command(shell, "cat")
        data = "grün\r\nß".encode(sent)
        far.send_command_input(shell, command, data[:4])  # a letter of UTF-8 may be cut in two
        far.send_command_input(shell, command, data[4:], end=True)
        assert far.get_command_output(shell, command) == ("<grün><ß>".encode(sent), b"", 0)
        far.cleanup_command(shell, command)
        far.close_shell(shell)


def test_a_code_page_that_is_none_is_refused() -> None:
    machine = small()
    with endpoint(machine) as served:
        with pytest.raises(TheirFault) as raised:
            protocol(served).open_shell(codepage=4711)
        assert raised.value.wsman_fault_code == 2150859072
        assert served.counts().shells_opened == 0
    assert not any(call.startswith("open_command_shell") for call in machine.calls)


def test_silence_ends_a_poll_and_the_client_polls_again() -> None:
    with endpoint(small()) as served:
        far = protocol(served, operation_timeout_sec=1, read_timeout_sec=5)
        shell = far.open_shell()
        command = far.run_command(shell, "cat")
        with pytest.raises(WinRMOperationTimeoutError):
            far.get_command_output_raw(shell, command)
        far.send_command_input(shell, command, "x", end=True)
        assert far.get_command_output(shell, command) == (b"<x>", b"", 0)
        far.close_shell(shell)


def test_output_comes_while_the_line_still_runs() -> None:
    with endpoint(small()) as served:
        far = protocol(served)
        shell = far.open_shell()
        command = far.run_command(shell, "wait")
        assert far.get_command_output_raw(shell, command) == (b"waiting", b"", -1, False)
        far.cleanup_command(shell, command)
        with pytest.raises(TheirFault):
            far.get_command_output_raw(shell, command)
        far.close_shell(shell)


@pytest.mark.parametrize("code", [SignalCode.CTRL_C, SignalCode.CTRL_BREAK, SignalCode.CTRL_C.upper().replace("HTTP", "http")])
def test_a_signal_stops_a_line_and_its_end_can_be_fetched(code: str) -> None:
    machine = small()
    with endpoint(machine) as served, shell_of(served) as shell:
        process = Process(shell, "wait")
        process.begin_invoke()
        process.poll_invoke()
        process.signal(code)
        process.end_invoke()
        assert (process.stdout, process.rc) == (b"waiting", -1073741510)
        assert "stopped wait" in machine.calls
        with pytest.raises(WSManFaultError) as raised:
            process.signal("powershell/signal/ctrl_c")
        assert raised.value.code == 87


def test_a_line_that_waits_for_input_can_be_stopped() -> None:
    with endpoint(small()) as served, shell_of(served) as shell:
        process = Process(shell, "cat")
        process.begin_invoke()
        process.signal(SignalCode.TERMINATE)


def test_lines_of_one_shell_run_side_by_side() -> None:
    with endpoint(small()) as served, shell_of(served) as shell:
        waits, greets = Process(shell, "cat"), Process(shell, "greet")
        waits.begin_invoke()
        greets.invoke()
        assert greets.rc == 3
        waits.send(b"late")
        waits.end_invoke()
        assert waits.stdout == b"<late>"


def test_a_shell_takes_so_many_lines_at_once_and_no_more() -> None:
    with endpoint(small()) as served, shell_of(served) as shell:
        for _ in range(MAX_PROCESSES + 3):
            Process(shell, "greet").invoke()
        waiting = [Process(shell, "cat") for _ in range(MAX_PROCESSES)]
        for process in waiting:
            process.begin_invoke()
        with pytest.raises(WSManFaultError) as raised:
            Process(shell, "greet").begin_invoke()
        assert raised.value.code == 2150859174
        waiting[0].signal(SignalCode.TERMINATE)
        Process(shell, "greet").invoke()


def test_input_after_its_end_is_refused() -> None:
    with endpoint(small()) as served, shell_of(served) as shell:
        process = Process(shell, "cat")
        process.begin_invoke()
        process.send(b"x", end=True)
        with pytest.raises(WSManFaultError) as raised:
            process.send(b"y")
        assert raised.value.code == 87


@pytest.mark.parametrize("envelope_size", [8192, 153600])
def test_much_output_comes_whole_in_envelopes_that_the_client_takes(envelope_size: int) -> None:
    with endpoint(small()) as served, wsman(served, max_envelope_size=envelope_size) as connection, WinRS(connection) as shell:
        process = Process(shell, "flood")
        process.invoke()
        assert process.stdout == b"x" * 3_000_000
        assert process.stderr == "".join(f"{number};" for number in range(300)).encode()


def test_a_kind_of_shell_is_not_asked_in_the_name_of_the_other() -> None:
    with endpoint(small()) as served, wsman(served) as connection, RunspacePool(connection) as pool:
        other = WinRS(connection, id=pool.shell.id)
        other._selector_set, other.opened = pool.shell._selector_set, True
        with pytest.raises(WSManFaultError) as raised:
            Process(other, "greet").begin_invoke()
        assert raised.value.code == 2150858843


def test_a_shell_has_no_streams_but_its_commands() -> None:
    with endpoint(small()) as served, shell_of(served) as shell:
        with pytest.raises(WSManFaultError) as raised:
            shell.receive(timeout=1)
        assert raised.value.code == 2150858843


def test_an_idle_shell_is_reaped_and_what_runs_in_it_is_stopped() -> None:
    machine = small()
    with endpoint(machine, idle_timeout=0.2) as served, wsman(served) as connection:
        shell = WinRS(connection)
        shell.open()
        Process(shell, "wait").begin_invoke()
        machine.await_call("stopped wait")
        machine.await_call("close")
        assert served.counts().shells_open == 0


def test_a_machine_that_breaks_ends_the_line_not_the_shell(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(line: CommandLine, io: CommandIO) -> int:
        raise ZeroDivisionError

    machine = small()
    machine.lines["breaks"] = breaks
    with endpoint(machine) as served, shell_of(served) as shell:
        process = Process(shell, "breaks")
        process.invoke()
        assert process.rc == -1
        Process(shell, "greet").invoke()
    assert "ZeroDivisionError" in caplog.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from([437, 932, 65001]))
def test_any_bytes_of_input_are_lines_of_text(served_once: Endpoint, parts: list[bytes], code_page: int) -> None:
    with shell_of(served_once, codepage=code_page) as shell:
        process = Process(shell, "cat")
        process.begin_invoke()
        for part in parts:
            process.send(part, end=False)
        process.send(b"", end=True)
        process.end_invoke()
        assert process.rc == 0
        assert process.stdout.count(b"<") >= b"".join(parts).count(b"\n")


@pytest.fixture(scope="module")
def served_once() -> Iterator[Endpoint]:
    with endpoint(small()) as served:
        yield served


def test_a_stopped_line_can_say_no_more() -> None:
    said: list[str] = []

    def stubborn(line: CommandLine, io: CommandIO) -> int:
        for call in (lambda: io.wait(3600), lambda: io.stdout("x"), lambda: io.stderr("x"), io.read_line):
            try:
                call()
            except PipelineStopped:
                said.append("stopped")
        return 7

    machine = small()
    machine.lines["stubborn"] = stubborn
    with endpoint(machine) as served, shell_of(served) as shell:
        process = Process(shell, "stubborn")
        process.begin_invoke()
        process.signal(SignalCode.CTRL_C)
        process.end_invoke()
        assert (process.rc, process.stdout, said) == (7, b"", ["stopped"] * 4)


def test_a_user_has_so_many_shells_and_no_more() -> None:
    with endpoint(small(), quotas=Quotas(max_shells=2)) as served, wsman(served) as connection:
        with RunspacePool(connection), WinRS(connection):
            for one in (WinRS(connection), RunspacePool(connection)):
                with pytest.raises(WSManFaultError) as raised:
                    one.open()
                assert raised.value.code == 2150859173
            with pytest.raises(TheirFault) as theirs:
                protocol(served).open_shell()
            assert theirs.value.wsman_fault_code == 2150859173
        with WinRS(connection) as shell:
            Process(shell, "greet").invoke()
        assert served.counts().shells_opened == 3
