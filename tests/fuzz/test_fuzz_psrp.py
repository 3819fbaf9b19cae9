"""Hostile PSRP: damaged fragments and damaged CLIXML at an open runspace pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import psrpcore
import pytest
from hypothesis import given
from psrpcore import types as ps

from lab.machine import PipelineIO, PipelineRequest, ShellName
from lab.winrm import clixml, fragments
from lab.winrm.faults import Broken, Fault
from lab.winrm.psrp import PsrpShell
from lab.winrm.service import Tally
from lab.winrm.session_key import SessionKey
from tests.fuzz.fuzzing import FUZZ, SOAK, assert_nothing_stays, damaged, in_time, nothing_is_done, samples
from tests.lab.winrm.small_machine import SmallLogon, SmallMachine

SHELL = "0B29FC40-CA47-1067-B31D-00DD010662DA"
NAMED = ShellName(resource_uri="x", shell_id=SHELL)
COMMAND = "1C29FC40-CA47-1067-B31D-00DD010662DA"


def said(pool: psrpcore.ClientRunspacePool) -> bytes:
    data = b""
    while (payload := pool.data_to_send()) is not None:
        data += payload.data
    return data


class Talk:
    """What a client says in the course of a session, message by message."""

    def __init__(self) -> None:
        pool = psrpcore.ClientRunspacePool(host=ps.HostInfo(IsHostNull=False), application_arguments={"a": ps.PSInt(1)})
        pool.open()
        self.creation = said(pool)
        server = psrpcore.ServerRunspacePool()
        for data in self._answers(server, self.creation):
            pool.receive_data(psrpcore.PSRPPayload(data, psrpcore.StreamType.default, None))
        while pool.next_event() is not None:
            pass
        self.messages = [self.creation]
        pool.exchange_key()
        self.messages.append(said(pool))
        pool.set_max_runspaces(3)
        self.messages.append(said(pool))
        pool.get_available_runspaces()
        self.messages.append(said(pool))
        pool.reset_runspace_state()
        self.messages.append(said(pool))
        pipeline = psrpcore.ClientPowerShell(pool, no_input=False)
        pipeline.add_script("say").add_parameter("Name", ps.PSList([ps.PSInt(1), {"k": "v"}, None])).add_statement()
        pipeline.add_command("Out-Default", use_local_scope=True)
        pipeline.start()
        self.messages.append(said(pool))
        pipeline.send(ps.PSString("input"))
        self.messages.append(said(pool))
        pipeline.send_eof()
        self.messages.append(said(pool))
        metadata = psrpcore.ClientGetCommandMetadata(pool, name=["*"])
        metadata.start()
        self.messages.append(said(pool))

    @staticmethod
    def _answers(server: psrpcore.ServerRunspacePool, data: bytes) -> Iterator[bytes]:
        server.receive_data(psrpcore.PSRPPayload(data, psrpcore.StreamType.default, None))
        while server.next_event() is not None:
            pass
        while (payload := server.data_to_send()) is not None:
            yield payload.data


TALK = Talk()
WORDS = (
    b"\0" * 8,
    b"\xff" * 8,
    b"<",
    b">",
    b"&",
    b"</Obj>",
    b'<Obj RefId="0">',
    b'<Ref RefId="0" />',
    b"<LST>",
    b"<DCT>",
    b"<En>",
    b'<S N="Key">a</S>',
    b"<SS>AAAA</SS>",
    b"<I32>9</I32>",
    b"<Nil />",
    b'<TNRef RefId="9" />',
    b"_x0041_",
    b"_xD800_",
    b"<BA>AAAA</BA>",
    b"<DT>2026-01-01T00:00:00</DT>",
    b"<TS>P1D</TS>",
    b"<!DOCTYPE",
    b"<MS>",
    b"<Props>",
    b"<XD>",
    b"<G>",
    b"<D>1e9</D>",
    b"<Db>1e999</Db>",
    b"\x02\0\0\0",
    b"\x06\x10\x02\0",
)


def take(request: PipelineRequest, io: PipelineIO) -> None:
    for one in request.input:
        io.output(one)


def opened(creation: bytes = TALK.creation) -> PsrpShell:
    return PsrpShell(
        shell_id=SHELL,
        creation=creation,
        budget=100_000,
        idle_timeout=60,
        open_runspace=partial(SmallLogon(SmallMachine({"say": take})).open_runspace, NAMED),
        ledger=Tally(),
    )


def converse(data: bytes) -> None:
    """One damaged message at a pool that was sound before, as a pipeline's first and in the pool's name; then the pool goes."""
    shell = opened()
    for stream in ("", "stdin", "pr"):
        try:
            if stream:
                shell.send("", data, stream)
            else:
                shell.command(COMMAND, data)
        except Broken:
            break
        except Fault:
            continue
    with suppress(Fault):
        shell.receive("", 50_000, 0, lambda: True)
    shell.close()
    assert shell.wait_closed(5)


@given(damaged(TALK.messages, WORDS))
@FUZZ
def test_any_fragments_are_taken_or_break_the_shell_alone(data: bytes) -> None:
    with in_time(), nothing_is_done():
        converse(data)


@given(damaged([TALK.creation], WORDS))
@FUZZ
def test_any_creation_opens_a_pool_or_none(data: bytes) -> None:
    with in_time(), nothing_is_done(), suppress(Fault):
        shell = PsrpShell(
            shell_id=SHELL,
            creation=data,
            budget=100_000,
            idle_timeout=60,
            open_runspace=partial(SmallLogon(SmallMachine()).open_runspace, NAMED),
            ledger=Tally(),
        )
        shell.close()


@pytest.fixture(scope="module")
def key() -> SessionKey:
    return SessionKey()


def texts() -> list[bytes]:
    assembler = fragments.Assembler()
    return [fragments.parse(whole).data for message in TALK.messages for whole in assembler.feed(message)]


TEXTS = texts()


@given(damaged(TEXTS, WORDS))
@FUZZ
def test_any_text_is_a_value_or_malformed(key: SessionKey, text: bytes) -> None:
    with in_time(), nothing_is_done():
        try:
            value = clixml.read(text, key.open)
        except clixml.Malformed:
            return
        clixml.write(value, key.close).encode()  # and what was read can be written


def test_nothing_of_them_stays() -> None:
    def soak(number: int) -> None:
        for data in samples(TALK.messages, WORDS, SOAK, seed=number):
            converse(data)
        for thread in threading.enumerate():
            if thread.name.startswith("winrm-"):
                thread.join(5)

    assert_nothing_stays(soak)
