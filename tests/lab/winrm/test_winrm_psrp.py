"""A runspace pool as psrpcore's client sees it, an implementation of the protocol by others: byte by byte, without sockets or SOAP."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any
from xml.etree import ElementTree

import psrpcore
import pytest
from psrpcore import types as ps
from pypsrp.messages import MessageType

from lab.machine import (
    AskCredential,
    Choice,
    CommandMetadata,
    ErrorRecord,
    Field,
    Form,
    HostFailed,
    PipelineIO,
    PipelineRequest,
    Progress,
    PSObject,
    ReadLine,
    ReadSecret,
    SecureString,
    ShellName,
    StreamName,
)
from lab.winrm import messages
from lab.winrm.faults import Broken, Fault
from lab.winrm.messages import Kind
from lab.winrm.psrp import PsrpShell
from lab.winrm.service import Tally
from lab.winrm.wsman import SIGNAL_POWERSHELL_STOP, SIGNAL_TERMINATE, BufferMode
from tests.lab.winrm.small_machine import SmallLogon, SmallMachine

NAMED = ShellName(resource_uri="x", shell_id="y")
BUDGET = 100_000
PATIENCE = 10.0


class Client:
    """psrpcore's client in front of a shell."""

    def __init__(self, machine: SmallMachine, **settings: Any) -> None:
        self.pool = psrpcore.ClientRunspacePool(**settings)
        self.pool.open()
        self.shell = PsrpShell(
            shell_id=str(self.pool.runspace_pool_id).upper(),
            creation=self._said(),
            budget=BUDGET,
            idle_timeout=60,
            open_runspace=partial(SmallLogon(machine).open_runspace, NAMED),
            ledger=Tally(),
        )
        self.listen()

    def _said(self) -> bytes:
        data = b""
        while (payload := self.pool.data_to_send()) is not None:
            data += payload.data
        return data

    def talk(self) -> None:
        """Send what the client wants to say."""
        while (payload := self.pool.data_to_send()) is not None:
            command_id = "" if payload.pipeline_id is None else str(payload.pipeline_id).upper()
            stream = "pr" if payload.stream_type is psrpcore.StreamType.prompt_response else "stdin"
            self.shell.send(command_id, payload.data, stream)

    def hear(self, command_id: str = "") -> tuple[list[Any], bool]:
        """One Receive: what came, and whether it was the last."""
        pieces, done, _ = self.shell.receive(command_id, BUDGET, PATIENCE, lambda: True)
        for _, data in pieces:
            self.pool.receive_data(psrpcore.PSRPPayload(data, psrpcore.StreamType.default, None))
        events: list[Any] = []
        while (event := self.pool.next_event()) is not None:
            events.append(event)
        return events, done

    def listen(self) -> list[Any]:
        return self.hear()[0]

    def start(self, script: str, **settings: Any) -> psrpcore.ClientPowerShell:
        pipeline = psrpcore.ClientPowerShell(self.pool, **settings)
        pipeline.add_script(script)
        pipeline.start()
        payload = self.pool.data_to_send()
        assert payload is not None
        self.shell.command(str(pipeline.pipeline_id).upper(), payload.data)
        self.talk()
        return pipeline

    def all_of(self, pipeline: psrpcore.ClientPowerShell) -> list[Any]:
        """Every event up to the end."""
        events: list[Any] = []
        done = False
        while not done:
            more, done = self.hear(str(pipeline.pipeline_id).upper())
            events += more
        return events

    def run(self, script: str, **settings: Any) -> list[Any]:
        return self.all_of(self.start(script, **settings))


@pytest.fixture
def machine() -> SmallMachine:
    return SmallMachine()


@pytest.fixture
def client(machine: SmallMachine) -> Iterator[Client]:
    with_host = Client(machine, host=ps.HostInfo(IsHostNull=False, IsHostUINull=False, IsHostRawUINull=True, UseRunspaceHost=False))
    yield with_host
    with_host.shell.close()
    assert with_host.shell.wait_closed(PATIENCE)


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__.removesuffix("Event") for event in events]


def test_kinds_of_messages_have_the_numbers_of_the_protocol() -> None:
    others = {name: value for name, value in vars(MessageType).items() if not name.startswith("_")}
    assert {kind.name: kind.value for kind in Kind}.items() <= others.items()


def test_a_pool_opens(client: Client) -> None:
    assert client.pool.state == ps.RunspacePoolState.Opened
    assert client.pool.application_private_data["PSVersionTable"]["PSRemotingProtocolVersion"] == ps.PSVersion("2.3")


def test_application_arguments_reach_the_machine(machine: SmallMachine) -> None:
    Client(machine, application_arguments={"PSVersionTable": {"PSVersion": ps.PSVersion("7.4")}}).shell.close()
    assert machine.arguments == {"PSVersionTable": {"PSVersion": "7.4"}}


RECORD = ErrorRecord(
    message="Cannot find path 'C:\\x'.",
    exception_type="System.Management.Automation.ItemNotFoundException",
    error_id="PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand",
    category="ObjectNotFound",
    target="C:\\x",
    activity="Get-Item",
    position="At line:1 char:1\n+ Get-Item C:\\x",
)


def test_every_stream_says_everything_it_knows(client: Client, machine: SmallMachine) -> None:
    def say(request: PipelineRequest, io: PipelineIO) -> None:
        io.output(None)
        io.output([1, "zwei"])
        io.error(RECORD)
        for stream in StreamName:
            io.record(stream, f"a <{stream}>")
        io.progress(Progress(activity="copying", status="half", percent=50))
        io.host_write_line("line")

    machine.scripts["say"] = say
    events = client.run("say")
    assert kinds(events) == [
        "PipelineOutput",
        "PipelineOutput",
        "ErrorRecord",
        "WarningRecord",
        "VerboseRecord",
        "DebugRecord",
        "InformationRecord",
        "ProgressRecord",
        "PipelineHostCall",
        "PipelineState",
    ]
    nothing, both, error, warning, verbose, debug, information, progress, call, state = events
    assert (nothing.data, both.data) == (None, [1, "zwei"])
    record = error.record
    assert record.Exception.Message == RECORD.message
    assert record.Exception.PSTypeNames[0] == f"Deserialized.{RECORD.exception_type}"
    assert record.FullyQualifiedErrorId == RECORD.error_id
    assert record.CategoryInfo.Category == ps.ErrorCategory.ObjectNotFound
    assert (record.CategoryInfo.Activity, record.CategoryInfo.TargetName) == ("Get-Item", "C:\\x")
    assert record.CategoryInfo.Reason == "ItemNotFoundException"
    told = ElementTree.fromstring(messages.error_record(RECORD, str.upper))
    assert told.findtext(".//*[@N='InvocationInfo_PositionMessage']") == RECORD.position.replace("\n", "_x000A_")
    assert [one.record.Message for one in (warning, verbose, debug)] == ["a <warning>", "a <verbose>", "a <debug>"]
    assert information.record.MessageData == "a <information>"
    assert (progress.record.Activity, progress.record.PercentComplete) == ("copying", 50)
    assert (call.method_identifier, call.method_parameters) == (ps.HostMethodIdentifier.WriteLine2, ["line"])
    assert state.state == ps.PSInvocationState.Completed


def test_the_error_that_ends_a_pipeline_is_told_with_its_end(client: Client, machine: SmallMachine) -> None:
    machine.scripts["fail"] = lambda request, io: ErrorRecord(
        message="m", exception_type="System.Exception", error_id="e", category="no such category"
    )
    (state,) = client.run("fail")
    assert state.state == ps.PSInvocationState.Failed
    assert (state.reason.FullyQualifiedErrorId, state.reason.CategoryInfo.Category) == ("e", ps.ErrorCategory.NotSpecified)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_a_client_that_knows_no_information_is_told_none(machine: SmallMachine, version: str) -> None:
    machine.scripts["say"] = lambda request, io: io.record(StreamName.INFORMATION, "new")
    old = Client(machine)
    old.shell.takes_information = messages.Capability(protocol=tuple(int(part) for part in version.split("."))).takes_information
    assert kinds(old.run("say")) == ["PipelineState"]
    old.shell.close()


# --- the client's host ----------------------------------------------------------------------------------------------------


def answering(client: Client, machine: SmallMachine, question: Any, answer: Any) -> tuple[Any, Any]:
    """What a host is asked, and what the machine hears of its answer."""
    heard: list[Any] = []

    def ask(request: PipelineRequest, io: PipelineIO) -> None:
        try:
            heard.append(io.ask(question))
        except HostFailed as failed:
            heard.append(failed.message)

    machine.scripts["ask"] = ask
    pipeline = client.start("ask")
    (call,), _ = client.hear(str(pipeline.pipeline_id).upper())
    if isinstance(answer, ps.ErrorRecord):
        client.pool.pipeline_table[pipeline.pipeline_id].host_response(call.ci, error_record=answer)
    else:
        client.pool.pipeline_table[pipeline.pipeline_id].host_response(call.ci, return_value=answer)
    client.talk()
    client.all_of(pipeline)
    return call, heard[0]


def test_a_host_reads_a_line(client: Client, machine: SmallMachine) -> None:
    call, heard = answering(client, machine, ReadLine(), "typed")
    assert (call.method_identifier, heard) == (ps.HostMethodIdentifier.ReadLine, "typed")


def test_a_host_reads_a_secret(client: Client, machine: SmallMachine) -> None:
    client.pool.exchange_key()
    client.talk()
    client.listen()
    call, heard = answering(client, machine, ReadSecret(), ps.PSSecureString("hunter2"))
    assert (call.method_identifier, heard) == (ps.HostMethodIdentifier.ReadLineAsSecureString, SecureString("hunter2"))


def test_a_host_offers_a_choice(client: Client, machine: SmallMachine) -> None:
    question = Choice(caption="c", message="m", choices=(("&Yes", "do it"), ("&No", "")), default=1)
    call, heard = answering(client, machine, question, 0)
    caption, message, choices, default = call.method_parameters
    assert call.method_identifier == ps.HostMethodIdentifier.PromptForChoice
    assert (caption, message, default, heard) == ("c", "m", 1, 0)
    assert [(one.Label, one.HelpMessage) for one in choices] == [("&Yes", "do it"), ("&No", "")]


def test_a_host_fills_a_form(client: Client, machine: SmallMachine) -> None:
    call, heard = answering(client, machine, Form(caption="c", message="m", fields=(Field(name="Name"),)), {"Name": "x"})
    assert call.method_identifier == ps.HostMethodIdentifier.Prompt
    assert [(one.Name, one.ParameterTypeFullName) for one in call.method_parameters[2]] == [("Name", "System.String")]
    assert heard == {"Name": "x"}


def test_a_host_asks_for_a_credential(client: Client, machine: SmallMachine) -> None:
    client.pool.exchange_key()
    client.talk()
    client.listen()
    given = ps.PSCredential("LAB\\bob", ps.PSSecureString("pw"))
    call, heard = answering(client, machine, AskCredential(caption="c", message="m", user="bob"), given)
    assert call.method_identifier == ps.HostMethodIdentifier.PromptForCredential1
    assert isinstance(heard, PSObject)
    assert heard.properties == {"UserName": "LAB\\bob", "Password": SecureString("pw")}


@pytest.mark.parametrize("answer", [5, None, "text"], ids=["number", "nothing", "text"])
def test_what_is_no_answer_to_the_question_is_a_failure(client: Client, machine: SmallMachine, answer: object) -> None:
    _, heard = answering(client, machine, Form(caption="", message="", fields=(Field(name="n"),)), answer)
    assert heard == "The host's answer is not one to what it was asked."


def test_a_host_that_cannot_says_so(client: Client, machine: SmallMachine) -> None:
    record = ps.ErrorRecord(ps.NETException("not here"), ps.ErrorCategoryInfo(Category=ps.ErrorCategory.NotImplemented))
    assert answering(client, machine, ReadLine(), record)[1] == "not here"


def test_without_a_host_nobody_is_asked(machine: SmallMachine) -> None:
    heard: list[str] = []

    def ask(request: PipelineRequest, io: PipelineIO) -> None:
        with pytest.raises(HostFailed) as raised:
            io.ask(ReadLine())
        heard.append(raised.value.message)

    machine.scripts["ask"] = ask
    alone = Client(machine)
    alone.run("ask")
    alone.shell.close()
    assert heard == ["The session has no host that could ask anybody."]


def test_a_pipeline_that_waits_for_an_answer_can_be_stopped(client: Client, machine: SmallMachine) -> None:
    def ask(request: PipelineRequest, io: PipelineIO) -> None:
        io.ask(ReadLine())

    machine.scripts["ask"] = ask
    pipeline = client.start("ask")
    command_id = str(pipeline.pipeline_id).upper()
    client.hear(command_id)
    client.shell.signal(command_id, SIGNAL_POWERSHELL_STOP, PATIENCE)
    (state,), done = client.hear(command_id)
    assert (state.state, state.reason.FullyQualifiedErrorId, done) == (ps.PSInvocationState.Stopped, "PipelineStopped", True)


# --- secrets --------------------------------------------------------------------------------------------------------------


def test_a_secret_that_is_sent_makes_the_client_exchange_keys(client: Client, machine: SmallMachine) -> None:
    machine.scripts["tell"] = lambda request, io: io.output(SecureString("hunter2"))
    pipeline = client.start("tell")
    client.listen()  # asked for its key, psrpcore answers by itself
    client.talk()
    client.listen()
    output, _ = client.all_of(pipeline)
    assert isinstance(output.data, ps.PSSecureString)
    assert output.data.decrypt() == "hunter2"


def test_a_secret_before_an_exchange_of_keys_breaks_the_shell(client: Client) -> None:
    content = b'<Obj RefId="0"><MS><SS N="ApplicationArguments">AAAA</SS></MS></Obj>'
    whole = struct.pack("<II32x", 2, Kind.INIT_RUNSPACEPOOL) + content
    with pytest.raises(Broken, match="a secure string before an exchange of keys"):
        client.shell.send("", struct.pack(">QQBI", 9, 0, 3, len(whole)) + whole, "stdin")


@pytest.mark.parametrize("key", ["", "?", "AAAA", "BgIAAACkAABSU0ExAAgAAAEAAQA="])
def test_what_is_no_public_key_breaks_the_shell(client: Client, key: str) -> None:
    whole = struct.pack("<II32x", 2, Kind.PUBLIC_KEY) + f'<Obj RefId="0"><MS><S N="PublicKey">{key}</S></MS></Obj>'.encode()
    with pytest.raises(Broken):
        client.shell.send("", struct.pack(">QQBI", 9, 0, 3, len(whole)) + whole, "stdin")


# --- several at once ------------------------------------------------------------------------------------------------------


def test_as_many_pipelines_run_at_once_as_the_pool_is_large(machine: SmallMachine) -> None:
    together = threading.Barrier(3)
    machine.scripts["meet"] = lambda request, io: io.output(together.wait(PATIENCE) >= 0)
    wide = Client(machine, max_runspaces=3)
    pipelines = [wide.start("meet") for _ in range(3)]
    assert [kinds(wide.all_of(pipeline)) for pipeline in pipelines] == [["PipelineOutput", "PipelineState"]] * 3
    assert (machine.at_once, machine.calls.count("open_runspace"), machine.calls.count("another")) == (3, 1, 2)
    wide.run("meet-nobody")
    wide.shell.close()
    assert wide.shell.wait_closed(PATIENCE)
    assert machine.calls.count("close") == 3


def test_a_pool_that_is_made_larger_begins_what_waited(client: Client, machine: SmallMachine) -> None:
    gate = threading.Event()
    machine.scripts["wait"] = lambda request, io: io.output(gate.wait(PATIENCE))
    machine.scripts["open"] = lambda request, io: gate.set()
    waiting, opener = client.start("wait"), client.start("open")
    client.pool.set_max_runspaces(2)
    client.talk()
    (answer,) = client.listen()
    assert answer.success is True
    client.all_of(opener)
    assert client.all_of(waiting)[0].data is True


@pytest.mark.parametrize(("call", "size", "done"), [("max", 0, False), ("max", 1, False), ("min", 2, False), ("max", 4, True)])
def test_the_size_of_a_pool_is_set_where_it_can_be(client: Client, call: str, size: int, done: bool) -> None:
    message = f'<Obj RefId="0"><MS><I32 N="{call.capitalize()}Runspaces">{size}</I32><I64 N="CI">7</I64></MS></Obj>'.encode()
    kind = Kind.SET_MAX_RUNSPACES if call == "max" else Kind.SET_MIN_RUNSPACES
    whole = struct.pack("<II32x", 2, kind) + message
    client.shell.send("", struct.pack(">QQBI", 99, 0, 3, len(whole)) + whole, "stdin")
    pieces, _, _ = client.shell.receive("", BUDGET, PATIENCE, lambda: True)
    assert f'<B N="SetMinMaxRunspacesResponse">{str(done).lower()}</B><I64 N="ci">7</I64>'.encode() in pieces[0][1]


def test_what_is_said_to_the_pool_by_way_of_a_command_is_for_the_pool(client: Client, machine: SmallMachine) -> None:
    gate = threading.Event()
    machine.scripts["wait"] = lambda request, io: io.output(gate.wait(PATIENCE))
    waiting = client.start("wait")
    client.pool.set_max_runspaces(2)
    payload = client.pool.data_to_send()
    assert payload is not None
    client.shell.send(str(waiting.pipeline_id).upper(), payload.data, "stdin")
    (answer,) = client.listen()
    assert answer.success is True
    gate.set()
    assert kinds(client.all_of(waiting)) == ["PipelineOutput", "PipelineState"]


def test_a_runspace_is_reset_where_nothing_runs(client: Client, machine: SmallMachine) -> None:
    client.pool.reset_runspace_state()
    client.talk()
    (answer,) = client.listen()
    assert answer.success is True
    assert "reset" in machine.calls


# --- input ----------------------------------------------------------------------------------------------------------------


def test_input_is_there_for_the_pipeline_while_more_of_it_still_comes(client: Client, machine: SmallMachine) -> None:
    def echo(request: PipelineRequest, io: PipelineIO) -> None:
        for one in request.input:
            io.output(one)

    machine.scripts["echo"] = echo
    pipeline = client.start("echo", no_input=False)
    command_id = str(pipeline.pipeline_id).upper()
    for text in ("one", "two"):
        pipeline.send(ps.PSString(text))
        client.talk()
        (output,), _ = client.hear(command_id)
        assert output.data == text
    pipeline.send_eof()
    client.talk()
    assert kinds(client.all_of(pipeline)) == ["PipelineState"]


def test_a_pipeline_that_waits_for_input_can_be_stopped(client: Client, machine: SmallMachine) -> None:
    machine.scripts["eat"] = lambda request, io: io.output(len(list(request.input)))
    pipeline = client.start("eat", no_input=False)
    machine.await_call("run eat")
    client.shell.signal(str(pipeline.pipeline_id).upper(), SIGNAL_TERMINATE, PATIENCE)
    assert "stopped eat" in machine.calls


# --- metadata -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "found"), [(8, 1), (ps.CommandTypes.All.value, 1), (2, 0)])
def test_metadata_is_of_the_kind_that_was_asked_for(client: Client, wanted: int, found: int) -> None:
    pipeline = psrpcore.ClientGetCommandMetadata(client.pool, name=["Get-Item"], command_type=ps.CommandTypes(wanted))
    pipeline.start()
    payload = client.pool.data_to_send()
    assert payload is not None
    client.shell.command(str(pipeline.pipeline_id).upper(), payload.data)
    count, *rest, state = client.all_of(pipeline)  # type: ignore[arg-type]
    assert (count.data.Count, len(rest), state.state) == (found, found, ps.PSInvocationState.Completed)


def test_metadata_brings_the_common_parameters_where_there_are_any() -> None:
    def parameters(has_common: bool) -> str:
        return messages.command_metadata(
            CommandMetadata(name="exit", command_type=2, has_common_parameters=has_common, parameters=("Name",))
        )

    assert '<S N="Key">Verbose</S>' not in parameters(False)
    assert all(f'<S N="Key">{name}</S>' in parameters(True) for name in ("Name", "Verbose", "ErrorAction"))


# --- being left -----------------------------------------------------------------------------------------------------------


def test_a_pool_that_is_left_lets_nobody_but_its_client_back(client: Client, machine: SmallMachine) -> None:
    shell = client.shell
    shell.belongs_to("mine")
    shell.disconnect("mine", 5.0, None)
    assert (shell.is_connected, shell.idle_timeout) == (False, 5.0)
    for again, code in (
        (lambda: shell.disconnect("mine", None, None), 2150859215),
        (lambda: shell.reconnect("theirs"), 2150859206),
        (lambda: shell.receive("", BUDGET, 0, lambda: True), 2150859204),
        (lambda: shell.send("", b"", "stdin"), 2150859204),
    ):
        with pytest.raises(Fault) as raised:
            again()
        assert raised.value.code == code
    shell.reconnect("mine")
    assert (shell.is_connected, shell.idle_timeout) == (True, 60)
    with pytest.raises(Fault) as raised:
        shell.reconnect("mine")
    assert raised.value.code == 2150859216


def test_who_waits_for_output_hears_that_the_shell_is_left(client: Client) -> None:
    waiting = threading.Event()
    heard: list[int] = []

    def still_there() -> bool:
        waiting.set()
        return True

    def wait() -> None:
        with pytest.raises(Fault) as raised:
            client.shell.receive("", BUDGET, PATIENCE, still_there)
        heard.append(raised.value.code)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(PATIENCE)
    client.shell.disconnect("", None, None)
    thread.join(PATIENCE)
    assert heard == [2150859230]


def connecting() -> bytes:
    other = psrpcore.ClientRunspacePool()
    other.connect()
    data = b""
    while (payload := other.data_to_send()) is not None:
        data += payload.data
    return data


def test_another_client_may_have_a_shell_that_was_left(client: Client, machine: SmallMachine) -> None:
    machine.scripts["say"] = lambda request, io: io.output("said")
    shell = client.shell
    pipeline = client.start("say")
    command_id = str(pipeline.pipeline_id).upper()
    with pytest.raises(Fault) as raised:
        shell.connect("theirs", connecting())
    assert raised.value.code == 2150859213
    shell.disconnect("", None, None)
    answer = shell.connect("theirs", connecting())
    assert b"MaxRunspaces" in answer
    assert [kind for kind, _ in shell.commands()] == [command_id]
    assert kinds(client.listen()) == ["ApplicationPrivateData", "RunspacePoolState"]
    assert client.all_of(pipeline)[0].data == "said"
    assert shell.commands() == []


@pytest.mark.parametrize("data", [b"", b"junk", connecting()[:-1]], ids=["nothing", "junk", "half"])
def test_who_connects_says_how(client: Client, data: bytes) -> None:
    client.shell.disconnect("", None, None)
    with pytest.raises(Fault) as raised:
        client.shell.connect("", data)
    assert raised.value.code == 87


def test_output_that_nobody_fetches_makes_room_where_its_client_wants_it_so(client: Client, machine: SmallMachine) -> None:
    left = threading.Event()

    def shout(request: PipelineRequest, io: PipelineIO) -> None:
        assert left.wait(PATIENCE)
        for number in range(200):
            io.output(f"{number} " + "x" * 100_000)

    machine.scripts["shout"] = shout
    pipeline = client.start("shout")
    client.shell.disconnect("", None, BufferMode.DROP)
    left.set()
    assert pipeline is not None
    command = client.shell._commands[str(pipeline.pipeline_id).upper()]
    assert command.ended.wait(PATIENCE)
    client.shell.reconnect("")
    *outputs, state = client.all_of(pipeline)
    numbers = [int(event.data.split()[0]) for event in outputs]
    assert numbers == list(range(200))[-len(numbers) :]
    assert 0 < len(numbers) < 100
    assert state.state == ps.PSInvocationState.Completed


def test_a_pipeline_waits_while_its_output_is_not_fetched(client: Client, machine: SmallMachine) -> None:
    def shout(request: PipelineRequest, io: PipelineIO) -> None:
        for number in range(100):
            io.output("x" * 100_000)
            machine.note(f"said {number}")

    machine.scripts["shout"] = shout
    pipeline = client.start("shout")
    machine.await_call("said 40")
    assert "said 99" not in machine.calls
    assert len(client.all_of(pipeline)) == 101
