"""Values over the wire and back: what the machine gives is what the client's own deserialiser sees, and the other way round."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from xml.etree import ElementTree

import psrpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psrpcore import types as ps
from pypsrp.complex_objects import GenericComplexObject
from pypsrp.serializer import Serializer

from lab import psrpcore_values as values
from lab.machine import ErrorRecord, PSObject, PSValue, SecureString
from lab.winrm import messages

_CIPHER = psrpcore.PSRemotingCrypto()

_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
    st.binary(max_size=40),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9),
    st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants it naive
)
_VALUES: st.SearchStrategy[PSValue] = st.recursive(
    _SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)), max_leaves=6
)


def over_the_wire(value: PSValue) -> PSValue:
    element = ps.serialize(values.to_wire(value), _CIPHER)
    return values.from_wire(ps.deserialize(ElementTree.fromstring(ElementTree.tostring(element)), _CIPHER))


@given(_VALUES)
def test_a_value_survives_the_wire(value: PSValue) -> None:
    assert over_the_wire(value) == value


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        (1, "I32"),
        (-(2**31), "I32"),
        (2**31, "I64"),
        (-(2**31) - 1, "I64"),
        (2**63, "D"),
        (1.5, "Db"),
        (True, "B"),
        ("x", "S"),
        (None, "Nil"),
    ],
)
def test_a_number_goes_as_the_type_that_dotnet_would_give_it(value: PSValue, tag: str) -> None:
    assert ps.serialize(values.to_wire(value), _CIPHER).tag == tag


@pytest.mark.parametrize("value", [Decimal("1.25"), UUID(int=7), b"\0\xff", datetime(2026, 1, 2, 3, 4, 5, 600000, UTC)])
def test_what_comes_back_is_plain_python(value: PSValue) -> None:
    assert type(over_the_wire(value)) is type(value)


def test_a_dotnet_object_keeps_type_properties_and_text() -> None:
    service = PSObject(
        type_names=("System.ServiceProcess.ServiceController", "System.Object"),
        properties={"Name": "WinRM", "Tags": ["a", 1]},
        text="WinRM",
    )
    back = over_the_wire(service)
    assert isinstance(back, PSObject)
    assert back.type_names == ("Deserialized.System.ServiceProcess.ServiceController", "Deserialized.System.Object")
    assert back.properties == service.properties
    assert back.text == "WinRM"


@pytest.mark.parametrize(
    ("type_name", "group"), [("System.Diagnostics.Process", "Props"), ("System.Management.Automation.PSCustomObject", "MS")]
)
def test_only_a_custom_objects_properties_are_extended(type_name: str, group: str) -> None:
    element = ps.serialize(values.to_wire(PSObject(type_names=(type_name,), properties={"Id": 4})), _CIPHER)
    assert [child.tag for child in element if child.tag in ("Props", "MS")] == [group]


def test_pypsrp_reads_an_object_as_its_own() -> None:
    element = ps.serialize(values.to_wire(PSObject(type_names=("A.B", "System.Object"), properties={"N": 1}, text="t")), _CIPHER)
    read = Serializer().deserialize(ElementTree.tostring(element, encoding="unicode"))
    assert isinstance(read, GenericComplexObject)
    assert (read.adapted_properties, read.to_string, read.types) == ({"N": 1}, "t", ["A.B", "System.Object"])


RECORD = ErrorRecord(
    message="Cannot find path 'C:\\x'.",
    exception_type="System.Management.Automation.ItemNotFoundException",
    error_id="PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand",
    category="ObjectNotFound",
    target="C:\\x",
    activity="Get-Item",
    position="At line:1 char:1\n+ Get-Item C:\\x",
)


def test_a_secure_string_is_a_secret_to_whoever_prints_it() -> None:
    secret = values.from_wire(ps.PSSecureString("hunter2"))
    assert secret == SecureString("hunter2")
    assert "hunter2" not in f"{secret} {secret!r}"


def test_an_error_record_of_another_host_is_what_it_was_there() -> None:
    record = ErrorRecord(
        message="Cannot find path 'C:\\x'.",
        exception_type="System.Management.Automation.ItemNotFoundException",
        error_id="PathNotFound,Microsoft.PowerShell.Commands.GetItemCommand",
        category="ObjectNotFound",
        target="C:\\x",
        activity="Get-Item",
    )
    wire = ps.deserialize(ElementTree.fromstring(messages.error_record(record, str.upper)), _CIPHER)
    assert values.read_error_record(wire) == replace(record, reason="ItemNotFoundException")
