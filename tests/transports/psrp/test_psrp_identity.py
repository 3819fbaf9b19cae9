"""The identity's answer, read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.transports.psrp.identity import EXPRESSION, read_answer

HOST = "2f6b7a4e-8c1d-4f7e-9a55-0c5d3f6e1b2a"
RUNSPACE = "8d0c1f1e-55aa-4a77-8c3f-3b0b7b1f9f10"


def test_the_answer_is_read_to_the_letter() -> None:
    answer = read_answer(f"4711|{HOST.upper()}|{RUNSPACE}|2026-11-21T10:11:12.1234567Z|-1073741510\r\n")
    assert answer.process_id == 4711
    assert answer.host_id == HOST
    assert answer.runspace_id == RUNSPACE
    assert answer.time == datetime(2026, 11, 21, 10, 11, 12, 123456, tzinfo=UTC)
    assert answer.exit_code == -1073741510


def test_no_native_program_has_no_exit_code() -> None:
    assert read_answer(f"4|{HOST}|{RUNSPACE}|2026-11-21T10:11:12.0000000Z|").exit_code is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        f"x|{HOST}|{RUNSPACE}|2026-11-21T10:11:12Z|",
        f"4|host|{RUNSPACE}|2026-11-21T10:11:12Z|",
        f"4|{HOST}|{RUNSPACE}|yesterday|",
        f"4|{HOST}|{RUNSPACE}|2026-11-21T10:11:12|",  # whose noon?
        f"4|{HOST}|{RUNSPACE}|2026-11-21T10:11:12Z|x",
        f"4|{HOST}|{RUNSPACE}|2026-11-21T10:11:12Z|0|0",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which of its parts fails is not the point
        read_answer(text)


@given(st.text())
def test_garbage_is_a_value_error_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_answer(text)


def test_the_expression_calls_no_command() -> None:
    """It must leave nothing but its own text on the target: no command name, no pipe, no call operator."""
    assert not set(EXPRESSION) & set(";&`{}\n")
    assert EXPRESSION.startswith('"')
    assert EXPRESSION.endswith('"')
