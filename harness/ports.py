"""What the engine asks of the world: Protocols, one adapter a file behind each.

Every method may block and raises only what `harness.errors` draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol, runtime_checkable

from harness.errors import Problem
from harness.model.facts import Execution, Facts, Footprint, Identity, SiemStatus, Watch
from harness.model.intent import Action, Rule, Target
from harness.model.report import Progress


class Clock(Protocol):
    """Time, read and waited for."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start."""

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        """Wait for `seconds`, or until the event is set; True where it is set."""


class Session(Protocol):
    """One open session on one target, for one action. Not shared between threads.

    `close` may be called at any time, any number of times, and never raises. The identity can be asked at any time, after
    an error or `close` too: it then holds what was learnt.
    """

    def run(self, timeout: float, cancel: Event) -> Execution:
        """Send the session's action, once, and wait for its end, at most `timeout` seconds.

        Where `cancel` is set meanwhile the pipeline is stopped and `StepTimeout` raised. Raises `TransportError`.
        """

    def identify(self) -> Footprint:
        """Read pid, HostId, RunspaceId, exit code and the target's clock, after the action: in a pipeline of its own where one is needed.

        Raises `TransportError`.
        """

    @property
    def exit_code(self) -> int | None:
        """The exit code of the action's last native program ($LASTEXITCODE); known once `identify` has returned, None where none ran."""

    @property
    def identity(self) -> Identity:
        """What is known of the session so far: the sockets always."""

    def close(self) -> None:
        """End the session: runspace, shell and connections."""


class Transport(Protocol):
    """A way to run an action on a target."""

    def open(self, target: Target, action: Action) -> Session:
        """Connect, authenticate and open a session fit for the action; nothing of the action is sent.

        Raises `ConnectFailed` where no connection came about (it may be tried again) and other `TransportError`s. An error raised here
        bears the sockets opened so far in its attribute `identity` where there are any.
        """


class Siem(Protocol):
    """A store of events and alerts with a rule engine beside it."""

    def check(self, rules: frozenset[str]) -> SiemStatus:
        """Reachable, allowed, healthy; and the state of these rules. Raises `SiemError`. Called before anything is sent."""

    def known_rules(self) -> frozenset[str]:
        """Ids of the rules that are deployed. Raises `SiemError`."""

    def deploy(self, rules: Sequence[Rule]) -> None:
        """Give the rule engine these rules, in place of any with the same id. Raises `SiemError`."""

    def sweep(self, watches: Sequence[Watch], cursor: str) -> Facts:
        """Everything for all watches in one batch, whatever their number.

        `cursor` is "" at first, then what the last sweep handed back. Raises `SiemError`; nothing is lost by an error: the same cursor
        may be asked again.
        """


class RuleSource(Protocol):
    """A loader of one rule language."""

    def takes(self, path: Path) -> bool:
        """Whether this file is of its language, told by name and content, cheaply."""

    def load(self, path: Path) -> Iterable[Rule]:
        """The file's rules. Raises `UsageError` naming file, line and fix."""

    def parse(self, text: str, source: str) -> Iterable[Rule]:
        """The same from a text; `source` is named in errors and in `Rule.source`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What became of several texts: their rules, and what is wrong, each under the name of its text."""

    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]


@runtime_checkable
class LinkingSource(RuleSource, Protocol):
    """A loader of a language whose rules refer to each other, across files too."""

    def read(self, path: Path) -> str:
        """The file's text. Raises `UsageError`."""

    def refers(self, text: str) -> bool:
        """Whether the text may be about rules of other texts: where none of several is, each is linked alone with the same result."""

    def link(self, texts: Sequence[tuple[str, str]]) -> Linked:
        """The rules of these texts, each with its name before it. What is wrong in one takes nothing else away."""


class Reporter(Protocol):
    """A consumer of a run's progress. Called on the main thread only."""

    def see(self, progress: Progress) -> None:
        """Take note of one piece of progress; the last is `RunFinished`."""
