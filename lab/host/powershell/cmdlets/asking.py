"""Cmdlets that ask whoever sits at the client, and those that make and open what is secret."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.interaction import ask
from lab.host.powershell.values import as_list, to_text
from lab.machine import CREDENTIAL_TYPE, AskCredential, Field, Form, Progress, PSObject, PSValue, ReadLine, ReadSecret, SecureString

_UTILITY = "Microsoft.PowerShell.Utility"
_SECURITY = "Microsoft.PowerShell.Security"


@cmdlet(
    "Read-Host",
    at(0, "Prompt", Kind.VALUE, rest=True),
    switch("AsSecureString"),
    *absent("MaskInput"),
    module=_UTILITY,
    output="System.String",
)
def read_host(call: Call) -> Iterator[object]:
    """A line that somebody types at the client."""
    secret = call.switch("AsSecureString")
    answer: PSValue
    if call.given("Prompt"):
        prompt = " ".join(to_text(one) for one in as_list(call.value("Prompt")))
        kind = "System.Security.SecureString" if secret else "System.String"
        answers = ask(call.session, Form(caption="", message="", fields=(Field(name=prompt, type_name=kind),)))
        answer = next(iter(answers.values()), None) if isinstance(answers, dict) else None
    elif secret:
        answer = ask(call.session, ReadSecret())
    else:
        answer = ask(call.session, ReadLine())
    yield answer if secret and isinstance(answer, SecureString) else to_text(answer)


@cmdlet(
    "Get-Credential",
    at(0, "Credential", Kind.VALUE),
    named("Message"),
    named("UserName"),
    *absent("Title"),
    module=_SECURITY,
    output=CREDENTIAL_TYPE,
)
def get_credential(call: Call) -> Iterator[object]:
    """A user and a password that somebody gives at the client."""
    given = call.value("Credential") if call.given("Credential") else None
    if isinstance(given, PSObject) and given.type_names[:1] == (CREDENTIAL_TYPE,):
        yield given
        return
    user = to_text(given) if given is not None else call.text("UserName", "")
    message = call.text("Message", "Enter your credentials.")
    answer = ask(call.session, AskCredential(caption="Windows PowerShell credential request", message=message, user=user))
    if answer is not None:
        yield answer


@cmdlet(
    "Write-Progress",
    at(0, "Activity", mandatory=True),
    at(1, "Status"),
    at(2, "Id", Kind.INT),
    named("PercentComplete", Kind.INT),
    named("SecondsRemaining", Kind.INT),
    named("CurrentOperation"),
    named("ParentId", Kind.INT),
    switch("Completed"),
    *absent("SourceId"),
    module=_UTILITY,
)
def write_progress(call: Call) -> Iterator[object]:
    """A progress record."""
    record = Progress(
        activity=call.text("Activity"),
        status=call.text("Status", "Processing"),
        activity_id=call.number("Id", 0),
        parent_id=call.number("ParentId", -1),
        operation=call.text("CurrentOperation", ""),
        percent=call.number("PercentComplete", -1),
        seconds_left=call.number("SecondsRemaining", -1),
        done=call.switch("Completed"),
    )
    call.session.io.progress(record)
    yield from ()
