"""A session on one host that does its work in a session on another: what is typed where, and whose identity is whose.

The outer session opens the inner one (New-PSSession), sends the action into it (Invoke-Command -Session), asks both who they are and
removes it. The inner one's password travels as a secure string, encrypted with the outer session's key: it is in no script, no event
and no process's command line. A script cannot enter a session from within a session, so typed lines are sent one by one as well.
"""

from __future__ import annotations

from ipaddress import ip_address
from threading import Event
from typing import Any

from harness.errors import AuthenticationFailed, ConnectFailed, ConnectionLost, ProtocolFailure, Refused, TransportError
from harness.model.facts import Execution, Footprint, Identity
from harness.model.intent import Action, Auth, Connect, EnterPSSession, InvokeCommand, Target, WinRS
from harness.ports import Clock
from harness.transports.credential import Credential
from harness.transports.line import seen_sockets
from harness.transports.psrp import values
from harness.transports.psrp.client import Client, Command, Finished
from harness.transports.psrp.identity import EXPRESSION, Answer, read_answer
from harness.transports.psrp.session import Gathered, enter

_OPEN = (
    "param($ComputerName, $Credential, $Port, $UseSSL, $Authentication) $session = New-PSSession -ComputerName $ComputerName "
    "-Credential $Credential -Port $Port -UseSSL:$UseSSL -Authentication $Authentication; $Credential = $null"
)
_IDENTIFY = f"{EXPRESSION}; Invoke-Command -Session $session -ScriptBlock {{{EXPRESSION}}}"
_CLOSE = "Remove-PSSession -Session $session"
_AUTHENTICATION = {
    Auth.BASIC: "Basic",
    Auth.NTLM: "Negotiate",
    Auth.NEGOTIATE: "Default",
    Auth.KERBEROS: "Kerberos",
    Auth.CREDSSP: "Credssp",
}
_DENIED = ("AccessDenied", "LogonFailure")
_BROKEN = ("PSSessionStateBroken", "InvalidRunspaceState", "JobFailure")


class JumpSession:
    """`harness.ports.Session` on `target`, by way of `client`, which is open on its jump host. `address` is where the driver finds it."""

    def __init__(self, *, client: Client, target: Target, address: str, credential: Credential, action: Action, clock: Clock) -> None:
        assert target.via is not None
        self._client = client
        self._target = target
        self._address = address
        self._via = target.via
        self._credential = credential
        self._action = action
        self._clock = clock
        self._outer: Answer | None = None
        self._inner: Answer | None = None
        self._opened = False

    def open(self) -> None:
        """Open the inner session. Raises `TransportError`; nothing of the action was sent then."""
        target = self._target
        if target.auth not in _AUTHENTICATION or not self._credential.password:
            raise AuthenticationFailed(f"{self._place}: a jump host can be given a user and a password, nothing else")
        if isinstance(self._action, WinRS):
            raise Refused(f"{self._place}: a command line of a remote shell goes from the driver alone")
        host, port = inner_address(target, self._address)
        self._client.exchange_keys()
        self._client.line.arm(self._client.line.timeouts.open)
        finished = self._client.invoke(
            [
                Command(
                    text=_OPEN,
                    is_script=True,
                    parameters=[
                        ("ComputerName", host),
                        ("Credential", values.credential(self._credential.user, self._credential.password)),
                        ("Port", port),
                        ("UseSSL", target.tls),
                        ("Authentication", _AUTHENTICATION[target.auth]),
                    ],
                )
            ]
        )
        for record in finished.streams.error:
            raise self._not_opened(record)
        self._opened = True

    def _not_opened(self, record: Any) -> TransportError:
        name, text = values.error_id(record), self._scrub(f"{self._place}: {values.error_text(record)}")
        if name.startswith(_DENIED):
            return AuthenticationFailed(text)
        return ConnectFailed(text) if name.endswith(",PSSessionOpenFailed") else Refused(text)

    def run(self, timeout: float, cancel: Event) -> Execution:
        """See `harness.ports.Session.run`."""
        self._client.line.arm(timeout, cancel)
        with self._client.stopping():
            match self._action:
                case EnterPSSession():
                    execution = enter(self._client, [_sent(line) for line in self._action.lines], self._scrub)
                case InvokeCommand():
                    gathered = Gathered(self._scrub)
                    gathered.add(self._client.invoke([_call(self._action)]), *self._client.console.take())
                    execution = gathered.execution(["script"])
                case Connect() | WinRS():
                    execution = Execution()
        for record in execution.records:
            if record.error_id.endswith(_BROKEN):
                raise ConnectionLost(f"{self._place}: {record.text}")
        return execution

    def identify(self) -> Footprint:
        """See `harness.ports.Session.identify`."""
        self._client.line.arm(self._client.line.timeouts.identify)
        started_at = self._clock.now()
        finished = self._client.invoke([Command(text=_IDENTIFY, is_script=True)])
        finished_at = self._clock.now()
        self._outer, self._inner = self._answers(finished)
        outer = Footprint(script=_IDENTIFY, started_at=started_at, finished_at=finished_at, target_time=self._outer.time)
        return Footprint(script=EXPRESSION, started_at=started_at, finished_at=finished_at, target_time=self._inner.time, via=outer)

    def _answers(self, finished: Finished) -> tuple[Answer, Answer]:
        said = [values.text(item) for item in finished.output]
        try:
            outer, inner = (read_answer(text) for text in said)
        except ValueError:
            trouble = "\n".join(said) or "; ".join(values.error_text(record) for record in finished.streams.error)
            raise ProtocolFailure(self._scrub(f"{self._place}: the sessions do not tell their identity: {trouble[:200]}")) from None
        return outer, inner

    @property
    def exit_code(self) -> int | None:
        """See `harness.ports.Session.exit_code`."""
        return self._inner.exit_code if self._inner is not None else None

    @property
    def identity(self) -> Identity:
        """See `harness.ports.Session.identity`. The inner session's sockets are the jump host's to tell."""
        outer = Identity(sockets=seen_sockets(self._client.line.sockets, self._via.seen_from))
        if self._outer is None or self._inner is None:
            return Identity(via=outer)
        return self._inner.identity(via=self._outer.identity(sockets=outer.sockets))

    def close(self) -> None:
        """See `harness.ports.Session.close`. The inner session ends with the outer one, should it not be removed in time."""
        if self._opened:
            self._opened = False
            self._client.try_to([Command(text=_CLOSE, is_script=True)])
        self._client.close()

    @property
    def _place(self) -> str:
        return f"{self._target.name} by way of {self._via.name}"

    def _scrub(self, text: str) -> str:
        return self._credential.scrub(self._client.line.scrub(text))


def inner_address(target: Target, address: str) -> tuple[str, int]:
    """Where another host finds the target: as the driver does, but where its address is the driver's own (a tunnel, the lab)."""
    if ip_address(address).is_loopback:
        return target.computer or target.host, 5986 if target.tls else 5985
    return target.host, target.port


def _sent(line: str) -> str:
    """A typed line, as a line that sends it on. Nothing and `exit` stay what they are: they are the outer session's."""
    bare = line.strip().lower()
    return line if bare in ("", "exit") else f"Invoke-Command -Session $session -ScriptBlock {{{line}}}"


def _call(action: InvokeCommand) -> Command:
    # A line end before the brace: the script may end in a comment.
    if not action.arguments:
        return Command(text=f"Invoke-Command -Session $session -ScriptBlock {{{action.script}\n}}", is_script=True)
    # Invoke-Command passes arguments by position alone, so they go as one table and are bound by name on the other side.
    text = (
        "param($Arguments) Invoke-Command -Session $session -ArgumentList $Arguments "
        f"-ScriptBlock {{param($Arguments) & {{{action.script}\n}} @Arguments}}"
    )
    arguments = {name: values.argument(value) for name, value in action.arguments.items()}
    return Command(text=text, is_script=True, parameters=[("Arguments", arguments)])
