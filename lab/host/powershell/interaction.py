"""What scripts ask whoever sits at the client: $Host.UI, choices, fields, credentials; and the .NET around what is secret.

It decides no form on the wire: questions go to the session's client as they are in `lab.machine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.host.powershell.errors import Terminating, fail, refuse, shown
from lab.host.powershell.values import as_list, to_int, to_text
from lab.machine import (
    CREDENTIAL_TYPE,
    AskCredential,
    Choice,
    Field,
    Form,
    HostFailed,
    PSObject,
    PSValue,
    Question,
    ReadLine,
    ReadSecret,
    SecureString,
    StreamName,
)

if TYPE_CHECKING:
    from lab.host.powershell.commands import Session

UI_TYPE = "System.Management.Automation.Internal.Host.InternalHostUserInterface"
CHOICE_TYPE = "System.Management.Automation.Host.ChoiceDescription"
FIELD_TYPE = "System.Management.Automation.Host.FieldDescription"
_INT32 = (-(1 << 31), (1 << 31) - 1)
_STREAMS = {
    "writewarningline": StreamName.WARNING,
    "writeverboseline": StreamName.VERBOSE,
    "writedebugline": StreamName.DEBUG,
}


def ui_object() -> PSObject:
    """`$Host.UI`."""
    raw = PSObject(type_names=("System.Management.Automation.Internal.Host.InternalHostRawUserInterface", "System.Object"), properties={})
    return PSObject(
        type_names=(UI_TYPE, "System.Management.Automation.Host.PSHostUserInterface", "System.Object"),
        properties={"RawUI": raw, "SupportsVirtualTerminal": False},
        text=UI_TYPE,
    )


def credential(user: str, password: SecureString) -> PSObject:
    """A PSCredential."""
    return PSObject(
        type_names=(CREDENTIAL_TYPE, "System.Object"), properties={"UserName": user, "Password": password}, text=CREDENTIAL_TYPE
    )


def ask(session: Session, question: Question) -> PSValue:
    """Ask the client's host. Raises `Terminating` where it cannot."""
    try:
        return session.io.ask(question)
    except HostFailed as fault:
        raise fail(fault.message, "HostFunctionNotImplemented", "NotImplemented") from None


def is_ours(value: object) -> bool:
    """Whether the methods of a value are those below."""
    return isinstance(value, SecureString) or (isinstance(value, PSObject) and value.type_names[:1] in ((UI_TYPE,), (CREDENTIAL_TYPE,)))


def call_method(session: Session, value: object, name: str, arguments: list[object]) -> object:
    """A method of $Host.UI, of a credential or of a secure string. Raises `Terminating`, naming the method where it is none of ours."""
    low = name.lower()
    match value:
        case SecureString() if low in ("makereadonly", "dispose") and not arguments:
            return None
        case SecureString() if low == "copy" and not arguments:
            return value
        case PSObject() if value.type_names[0] == CREDENTIAL_TYPE and low == "getnetworkcredential" and not arguments:
            return _network_credential(value)
        case PSObject() if value.type_names[0] == UI_TYPE:
            return _call_ui(session, low, name, arguments)
    raise _none(name, value)


def _none(name: str, value: object) -> Terminating:
    kind = value.type_names[0] if isinstance(value, PSObject) else "System.Security.SecureString"
    return refuse(f"the method {shown(name)} of [{kind}]")


def _network_credential(value: PSObject) -> PSObject:
    secret = value.properties.get("Password")
    domain, _, user = to_text(value.properties.get("UserName")).rpartition("\\")
    return PSObject(
        type_names=("System.Net.NetworkCredential", "System.Object"),
        properties={
            "UserName": user,
            "Password": secret.plain if isinstance(secret, SecureString) else "",
            "SecurePassword": secret,
            "Domain": domain,
        },
        text="System.Net.NetworkCredential",
    )


def _call_ui(session: Session, low: str, name: str, arguments: list[object]) -> object:
    texts = [to_text(one) for one in arguments]
    match low, len(arguments):
        case "readline", 0:
            return ask(session, ReadLine())
        case "readlineassecurestring", 0:
            return ask(session, ReadSecret())
        case "promptforchoice", 4:
            choices = tuple(_choice(one) for one in as_list(arguments[2]))
            return ask(session, Choice(caption=texts[0], message=texts[1], choices=choices, default=to_int(arguments[3], _INT32)))
        case "prompt", 3:
            fields = tuple(_field(one) for one in as_list(arguments[2]))
            return ask(session, Form(caption=texts[0], message=texts[1], fields=fields))
        case "promptforcredential", 4 | 6:
            return ask(session, AskCredential(caption=texts[0], message=texts[1], user=texts[2], target=texts[3]))
        case "write", 1:
            session.io.host_write(texts[0])
        case "writeline", 0 | 1:
            session.io.host_write_line("".join(texts))
        case "writeerrorline", 1:
            session.io.host_write_error_line(texts[0])
        case (("writewarningline" | "writeverboseline" | "writedebugline"), 1):
            session.write_stream(_STREAMS[low], texts[0])
        case _:
            raise refuse(f"the method {shown(name)} of $Host.UI with {len(arguments)} arguments")
    return None


def _choice(value: object) -> tuple[str, str]:
    """A ChoiceDescription, or a text that becomes one."""
    if isinstance(value, PSObject):
        return to_text(value.properties.get("Label")), to_text(value.properties.get("HelpMessage"))
    return to_text(value), ""


def _field(value: object) -> Field:
    """A FieldDescription, or a name that becomes one."""
    if not isinstance(value, PSObject):
        return Field(name=to_text(value))
    held = value.properties
    return Field(
        name=to_text(held.get("Name")),
        type_name=to_text(held.get("ParameterTypeFullName")) or "System.String",
        label=to_text(held.get("Label")),
        help=to_text(held.get("HelpMessage")),
        mandatory=bool(held.get("IsMandatory", True)),
    )


def make(type_name: str, arguments: list[object]) -> object:
    """A new object of a type of this page, None for any other. Raises `Terminating` for arguments that it does not take."""
    texts = [to_text(one) for one in arguments]
    match type_name.lower(), len(arguments):
        case "system.management.automation.pscredential", 2:
            secret = arguments[1]
            if not isinstance(secret, SecureString):
                raise refuse(f"a {CREDENTIAL_TYPE} of anything but a name and a secure string")
            return credential(texts[0], secret)
        case "system.management.automation.host.choicedescription", 1 | 2:
            return PSObject(
                type_names=(CHOICE_TYPE, "System.Object"),
                properties={"Label": texts[0], "HelpMessage": texts[1] if len(texts) == 2 else ""},
                text=CHOICE_TYPE,
            )
        case "system.management.automation.host.fielddescription", 1:
            return PSObject(
                type_names=(FIELD_TYPE, "System.Object"),
                properties={
                    "Name": texts[0],
                    "Label": "",
                    "HelpMessage": "",
                    "IsMandatory": True,
                    "DefaultValue": None,
                    "ParameterTypeFullName": "System.String",
                },
                text=FIELD_TYPE,
            )
        case "system.security.securestring", 0:
            return SecureString("")
    return None


def marshal(low: str, arguments: list[object]) -> object:
    """A method of [Runtime.InteropServices.Marshal] that opens a secure string; a pointer is what it points to. None for any other."""
    match low, arguments:
        case "securestringtobstr" | "securestringtoglobalallocunicode" | "securestringtocotaskmemunicode", [SecureString()]:
            return arguments[0]
        case "ptrtostringauto" | "ptrtostringbstr" | "ptrtostringuni", [SecureString(plain=plain)]:
            return plain
        case "zerofreebstr" | "zerofreeglobalallocunicode" | "zerofreecotaskmemunicode", [SecureString()]:
            return ""
    return None
