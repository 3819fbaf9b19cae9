"""The error tree. Foreign exceptions are mapped into it at the edge, by one context manager an adapter.

    HarnessError                    exit code
    |- UsageError                   2   configuration, scenario, rule or flag: `problems` names every one
    |- ScopeError                   4   a target outside the authorised scope
    |- NothingToDo                  5   nothing selected or nothing exercisable
    |- SiemError                    3   the SIEM cannot answer
    |  |- SiemUnavailable               ... now: it may answer later, reads are retried
    |  `- SiemDenied                    ... us: not authorised; never retried
    |- RuleTooSlow                  3   a rule's regular expression ran out of its time on an event
    |- LabError                     3   the embedded lab did not start, or is not there
    `- TransportError               -   a target: caught by the engine, becomes a Failure value
       |- ConnectFailed                 no connection, nothing was sent: it may be tried again
       |  `- Untrusted                      ... since nobody vouches for the target: trying again changes nothing
       |- AuthenticationFailed
       |- Refused                       the endpoint answered and said no
       |- ConnectionLost                cut when something had been sent
       |- StepTimeout
       `- ProtocolFailure               what came back is not the protocol

They are caught in two places only: the engine and `harness.cli`. No error text bears a secret.
"""

from __future__ import annotations

from dataclasses import dataclass


class HarnessError(Exception):
    """Anything that we raise on purpose. `exit_code` is what the command line ends with."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input: where (path, line and column from 1, 0 where unknown), what, and how to mend it."""

    path: str
    line: int = 0
    column: int = 0
    what: str
    fix: str = ""

    def __str__(self) -> str:
        place = self.path
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        text = f"{place}: {self.what}" if place else self.what
        return f"{text} ({self.fix})" if self.fix else text


class UsageError(HarnessError):
    """An input is wrong. Bears every problem found, in file order."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class ScopeError(HarnessError):
    """A target is outside the authorised scope. Raised before a packet is sent."""

    exit_code = 4


class NothingToDo(HarnessError):
    """Nothing was selected, or nothing of it can be exercised."""

    exit_code = 5


class SiemError(HarnessError):
    """The SIEM cannot answer."""


class SiemUnavailable(SiemError):
    """The SIEM cannot be reached or read just now. `retry_after`: for how many seconds it asked to be left alone, 0 where it did not."""

    def __init__(self, text: str, *, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(text)


class SiemDenied(SiemError):
    """The SIEM answered that we may not."""


class RuleTooSlow(HarnessError):
    """A rule's regular expression did not end in its time: whether the rule matches that event is not known.

    `rule` is the rule's id, empty before it came to a `harness.detect.Detector`.
    """

    rule = ""


class LabError(HarnessError):
    """The embedded lab did not start, died, or is not running."""


class TransportError(HarnessError):
    """A target could not be driven. The run goes on without it.

    Where a session failed to open, `identity` (a `harness.model.facts.Identity`) bears the sockets opened so far; else it is not there.
    """

    identity: object


class ConnectFailed(TransportError):
    """No connection came about; nothing was sent."""


class Untrusted(ConnectFailed):
    """Nobody that is trusted vouches for the target's certificate, or it is another's."""


class AuthenticationFailed(TransportError):
    """The target did not accept the credentials."""


class Refused(TransportError):
    """The endpoint answered and said no: a quota, a missing right, a fault."""


class ConnectionLost(TransportError):
    """The connection was cut when something had been sent."""


class StepTimeout(TransportError):
    """The step did not end within its time."""


class ProtocolFailure(TransportError):
    """What came back is not WinRM or PSRP."""
