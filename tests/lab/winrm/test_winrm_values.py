"""Values over the wire and back: what the machine gives is what the client's own deserialiser sees, and the other way round."""

from __future__ import annotations

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

from lab.machine import CommandMetadata, ErrorRecord, Parameter, PSObject, PSValue, SecureString
from lab.winrm import values

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


def test_an_error_record_says_everything_it_knows() -> None:
    wire = values.error_record(RECORD)
    element = ps.serialize(wire, _CIPHER)
    back = ps.deserialize(ElementTree.fromstring(ElementTree.tostring(element)), _CIPHER)
    assert isinstance(back, ps.ErrorRecord)
    assert back.Exception.Message == RECORD.message
    assert back.Exception.PSTypeNames[0] == f"Deserialized.{RECORD.exception_type}"
    assert back.FullyQualifiedErrorId == RECORD.error_id
    assert back.CategoryInfo.Category == ps.ErrorCategory.ObjectNotFound
    assert (back.CategoryInfo.Activity, back.CategoryInfo.TargetName) == ("Get-Item", "C:\\x")
    assert back.CategoryInfo.Reason == "ItemNotFoundException"
    assert element.findtext(".//*[@N='InvocationInfo_PositionMessage']") == RECORD.position.replace("\n", "_x000A_")


def test_a_category_that_powershell_does_not_have_is_not_specified() -> None:
    record = ErrorRecord(message="m", exception_type="System.Exception", error_id="e", category="Whatever")
    assert values.error_record(record).CategoryInfo.Category == ps.ErrorCategory.NotSpecified


def test_metadata_brings_the_common_parameters_where_there_are_any() -> None:
    def parameters(has_common: bool) -> set[str]:
        metadata = CommandMetadata(name="exit", command_type=2, has_common_parameters=has_common, parameters=("Name",))
        return {str(name) for name in values.command_metadata(metadata).Parameters}

    assert parameters(False) == {"Name"}
    assert {"Name", "Verbose", "ErrorAction"} <= parameters(True)


def test_a_pipeline_tells_scripts_arguments_switches_and_statements_apart() -> None:
    first = psrpcore.Command("Get-Item", is_script=False, use_local_scope=True)
    first.add_parameter("Path", ps.PSString("C:\\")).add_parameter("Force", True).add_argument(ps.PSInt(3))
    first.end_of_statement = True
    second = psrpcore.Command("whoami", is_script=True)
    second.redirect_error()
    pipeline = psrpcore.PowerShell(add_to_history=True)
    pipeline.commands = [first, second]

    request = values.pipeline_request(pipeline, [ps.PSString("piped")])

    assert request.input == ("piped",)
    assert request.add_to_history
    one, two = request.commands
    assert (one.text, one.is_script, one.use_local_scope, one.end_of_statement, one.merge_to_output) == (
        "Get-Item",
        False,
        True,
        True,
        False,
    )
    assert one.parameters == (Parameter(name="Path", value="C:\\"), Parameter(name="Force", value=True), Parameter(name=None, value=3))
    assert (two.text, two.is_script, two.use_local_scope, two.end_of_statement, two.merge_to_output) == ("whoami", True, None, False, True)


def test_a_secure_string_is_a_secret_to_whoever_prints_it() -> None:
    secret = values.from_wire(ps.PSSecureString("hunter2"))
    assert secret == SecureString("hunter2")
    assert "hunter2" not in f"{secret} {secret!r}"
