"""Secure strings and credentials: values without content. What a secret says stays with whoever typed it; the model never needs it."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, binding_error, refuse
from lab.host.powershell.objects import secure_string

_MODULE = "Microsoft.PowerShell.Security"


@cmdlet(
    "ConvertTo-SecureString",
    at(0, "String", Kind.VALUE, mandatory=True),
    switch("AsPlainText"),
    switch("Force"),
    *absent("Key", "SecureKey"),
    module=_MODULE,
)
def convert_to_secure_string(call: Call) -> Iterator[object]:
    """A secure string."""
    if not call.switch("AsPlainText"):
        raise refuse("a secure string from an encrypted text", activity=call.spec.name)
    if not call.switch("Force"):
        raise Terminating(
            binding_error(
                call.spec.name,
                "ImportSecureString_ForceRequired",
                "The system cannot protect plain text input. To suppress this warning and convert the plain text to a SecureString, "
                "reissue the command specifying the Force parameter.",
                class_name=call.spec.class_name,
            )
        )
    yield secure_string()


@cmdlet("Get-Credential", at(0, "Credential", Kind.VALUE), named("UserName"), named("Message"), module=_MODULE)
def get_credential(call: Call) -> Iterator[object]:
    """Nobody can be asked for a password here."""
    raise refuse("a question for a password", activity=call.spec.name)
    yield  # the type of a cmdlet is a generator
