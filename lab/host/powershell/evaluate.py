"""The evaluator: statements, expressions and pipelines of the emulated PowerShell, over one session's state.

Nothing received is run on the machine underneath: a command is a registered cmdlet, a function of the session, or a program of the
emulated disk. What is written goes to an `emit` callback the moment it is there; commands of a pipeline pull from each other, so that
work happens in the order in which it happens on Windows. Everything is bounded: steps, output, depth.
"""

from __future__ import annotations

import ntpath
from collections.abc import Iterable, Sequence

from lab.host.files import FileFault, absolute
from lab.host.powershell import objects, operators, types
from lab.host.powershell import syntax as s
from lab.host.powershell.commands import Passed, action_name
from lab.host.powershell.errors import (
    ErrorObject,
    Exit,
    LoopBreak,
    LoopContinue,
    LoopExit,
    Return,
    Terminating,
    fail,
    lineage,
    refuse,
    shown,
)
from lab.host.powershell.parameters import Bound
from lab.host.powershell.pipelines import Pipelines
from lab.host.powershell.scopes import Scope
from lab.host.powershell.state import Emit
from lab.host.powershell.values import (
    ScriptBlock,
    as_list,
    collect,
    decode,
    equal,
    like,
    regex,
    subject,
    to_bool,
    to_int,
    to_text,
)
from lab.machine import ErrorRecord, PSObject


class Evaluator(Pipelines):
    """One session. Implements `commands.Session`."""

    def run_text(self, text: str) -> list[object]:
        output: list[object] = []
        self.run_body(self._compile(text), (), output.append, new_scope=False)
        return output

    def run_body(
        self,
        body: s.Body,
        arguments: Sequence[Passed],
        emit: Emit,
        *,
        piped: Iterable[object] | None = None,
        new_scope: bool = True,
        name: str = "",
        script: str = "",
    ) -> None:
        self.tick()
        if new_scope:
            self.scopes.stack.append(Scope(fences=bool(script)))
        depth = self.scopes.depth
        try:
            self._introduce(arguments, name, script)
            bound = self._bind_script(body, arguments, name, piped=piped is not None)
            self._watched(body, emit, piped, bound, name)
        except Return:
            return
        finally:
            del self.scopes.stack[depth:]
            if new_scope:
                self.scopes.stack.pop()

    def _introduce(self, arguments: Sequence[Passed], name: str, script: str) -> None:
        """What a function or a script is told about itself."""
        if name:
            self.scopes.set("MyInvocation", objects.invocation_info(name, script))
        if script:
            self.scopes.set("PSCommandPath", script)
            self.scopes.set("PSScriptRoot", ntpath.dirname(script))

    def _watched(self, body: s.Body, emit: Emit, piped: Iterable[object] | None, bound: Bound, name: str) -> None:
        """Run the blocks, keeping errors and output in the variables that common parameters name."""
        out, errors = (to_text(bound.common.get(one)) for one in ("OutVariable", "ErrorVariable"))
        kept: list[object] = []
        watched: list[object] = []

        def both(value: object) -> None:
            kept.append(value)
            emit(value)

        if errors:
            self._watchers.append(watched)
        try:
            self._blocks(body, both if out else emit, piped, bound, name)
        finally:
            if errors:
                self._watchers.remove(watched)
            # The caller's scope is the one below the body's own.
            for variable, values in ((out, kept), (errors, watched)):
                if variable:
                    self.scopes.set(variable.removeprefix("+"), values, "1")

    def _blocks(self, body: s.Body, emit: Emit, piped: Iterable[object] | None, bound: Bound, name: str) -> None:
        flow: Iterable[object] = piped if piped is not None else ()
        self.statements(body.begin, emit)
        if body.process:
            if piped is None and not body.is_filter:
                self.statements(body.process, emit)
            elif piped is None:
                self._item(body, None, bound, name, emit)
            for one in flow:
                self._item(body, one, bound, name, emit)
        elif piped is not None:
            given = list(flow)
            self.scopes.set("input", given)
            for one in given:
                self._bind_item(body, one, bound, name)
        self.statements(body.end, emit)

    def _item(self, body: s.Body, item: object, bound: Bound, name: str, emit: Emit) -> None:
        self.tick()
        self.scopes.set("_", item)
        self.scopes.set("PSItem", item)
        self._bind_item(body, item, bound, name)
        self.statements(body.process, emit)

    def statements(self, statements: Sequence[s.Statement], emit: Emit) -> None:
        """Run statements in order. An error that ends a statement is written, and the next one runs, unless something catches it."""
        traps = [one for one in statements if isinstance(one, s.Trap)]
        for statement in statements:
            try:
                self.statement(statement, emit)
            except Terminating as error:
                self.ok = False
                if self._trapped(traps, error, emit):
                    continue
                preference = action_name(self.variable("ErrorActionPreference"))
                if error.script or self._guarded or preference == "Stop":
                    raise
                self._failures += 1
                self._remember(error.record)
                if preference not in ("SilentlyContinue", "Ignore"):
                    self._show_error(error.record)
                self.ok = False

    def _trapped(self, traps: Sequence[s.Trap], error: Terminating, emit: Emit) -> bool:
        """Run the trap that an error falls into: whether the next statement runs. Raises the error again where the trap does not end it."""
        trap = next((one for one in traps if not one.type_name or self._caught(error.record, (one.type_name,))), None)
        if trap is None:
            return False
        before = self.scopes.get("_", "local")[1]
        self.scopes.set("_", self._remember(error.record))
        try:
            self.statements(trap.body, emit)
        except LoopContinue:
            return True
        except LoopBreak:
            raise error from None
        finally:
            self.scopes.set("_", before)
        self._show_error(error.record)
        return True

    def statement(self, statement: s.Statement, emit: Emit) -> None:
        match statement:
            case s.Pipeline():
                self._pipeline(statement, emit)
            case s.Assignment():
                self._assign(statement)
                self.ok = True
            case s.If():
                chosen = (body for condition, body in statement.branches if to_bool(self._statement_value(condition)))
                self.statements(next(chosen, statement.otherwise), emit)
            case s.While():
                self._while(statement, emit)
            case s.For():
                self._for(statement, emit)
            case s.Foreach():
                self._foreach(statement, emit)
            case s.Switch():
                self._switch(statement, emit)
            case s.Try():
                self._try(statement, emit)
            case s.Trap():
                pass  # it waits for an error among the statements that it stands with
            case s.Function():
                self.scopes.define(statement.name, statement.body)
            case s.Flow():
                self._flow(statement, emit)

    def _flow(self, flow: s.Flow, emit: Emit) -> None:
        match flow.kind:
            case "break":
                raise LoopBreak(flow.label)
            case "continue":
                raise LoopContinue(flow.label)
            case "return":
                if flow.value is not None:
                    self.statement(flow.value, emit)
                raise Return
            case "exit":
                raise Exit(to_int(self._statement_value(flow.value)) if flow.value is not None else 0)
            case "throw":
                self._throw(self._statement_value(flow.value) if flow.value is not None else None, bare=flow.value is None)
            case other:
                raise refuse(f"the keyword '{other}'")

    def _throw(self, value: object, *, bare: bool) -> None:
        current = self.variable("_")
        if bare and isinstance(current, ErrorObject):
            raise Terminating(current.record, script=True)
        if isinstance(value, ErrorObject):
            raise Terminating(value.record, script=True)
        text = to_text(value) if not bare else "ScriptHalted"
        kind = "System.Management.Automation.RuntimeException"
        if isinstance(value, PSObject) and "Message" in value.properties:
            kind, text = value.type_names[0], to_text(value.properties["Message"])
        record = ErrorRecord(
            message=text,
            exception_type=kind,
            error_id=shown(text),
            category="OperationStopped",
            target=shown(text),
            reason=kind.rpartition(".")[2],
        )
        raise Terminating(record, script=True, thrown=value)

    def _loop(self, body: Sequence[s.Statement], label: str, emit: Emit) -> bool:
        """Run a loop's body once: whether the loop goes on."""
        self.tick()
        try:
            self.statements(body, emit)
        except LoopExit as leaving:
            if leaving.label and leaving.label != label.lower():
                raise
            return isinstance(leaving, LoopContinue)
        return True

    def _while(self, loop: s.While, emit: Emit) -> None:
        if loop.body_first and not self._loop(loop.body, loop.label, emit):
            return
        while to_bool(self._statement_value(loop.condition)) != loop.until:
            if not self._loop(loop.body, loop.label, emit):
                return

    def _for(self, loop: s.For, emit: Emit) -> None:
        if loop.start is not None:
            self.statement(loop.start, lambda _: None)
        while loop.condition is None or to_bool(self._statement_value(loop.condition)):
            if not self._loop(loop.body, loop.label, emit):
                return
            if loop.step is not None:
                self.statement(loop.step, lambda _: None)

    def _foreach(self, loop: s.Foreach, emit: Emit) -> None:
        for value in as_list(self._statement_value(loop.values)):
            self.scopes.set(loop.variable.name, value, loop.variable.scope)
            if not self._loop(loop.body, loop.label, emit):
                return

    def _switch(self, switch: s.Switch, emit: Emit) -> None:
        before = self.scopes.get("_", "local")[1]
        try:
            self._cases(switch, emit)
        finally:
            self.scopes.set("_", before)

    def _switched(self, switch: s.Switch) -> list[object]:
        value = self._statement_value(switch.condition)
        if not switch.of_file:
            return as_list(value) if value is not None else [None]
        try:
            file = self.host.files.read(absolute(to_text(value), self.location))
        except FileFault as fault:
            raise fail(f"Could not find file '{fault.path}'.", "FileOpenFailure", "OpenError", fault.path) from None
        return list(decode(file.content).splitlines())

    def _cases(self, switch: s.Switch, emit: Emit) -> None:
        for value in self._switched(switch):
            self.tick()
            self.scopes.set("_", value)
            matched = False
            try:
                for test, body in switch.clauses:
                    if test is None:
                        continue
                    if self._fits(switch, self.value(test), value):
                        matched = True
                        self.statements(body, emit)
                if not matched:
                    for test, body in switch.clauses:
                        if test is None:
                            self.statements(body, emit)
            except LoopExit as leaving:
                if leaving.label and leaving.label != switch.label.lower():
                    raise
                if isinstance(leaving, LoopBreak):
                    return

    def _fits(self, switch: s.Switch, wanted: object, value: object) -> bool:
        if isinstance(wanted, ScriptBlock):
            return to_bool(collect(self.invoke(wanted, item=value, has_item=True)))
        if switch.mode == "wildcard":
            return like(to_text(value), to_text(wanted), case=switch.case_sensitive)
        if switch.mode == "regex":
            pattern = regex(to_text(wanted), switch.case_sensitive)
            found = pattern.search(subject(to_text(value), pattern))
            if found is not None:
                self.scopes.set("Matches", operators.match_groups(found, pattern))
            return found is not None
        return equal(value, wanted, case=switch.case_sensitive)

    def _try(self, attempt: s.Try, emit: Emit) -> None:
        try:
            self._guarded += 1
            depth = self.scopes.depth
            try:
                self.statements(attempt.body, emit)
            finally:
                self._guarded -= 1
        except Terminating as error:
            del self.scopes.stack[depth:]
            handler = next((body for wanted, body in attempt.catches if not wanted or self._caught(error.record, wanted)), None)
            if handler is None:
                raise
            value = self._remember(error.record)
            before = self.scopes.get("_", "local")
            self.scopes.set("_", value)
            try:
                self.statements(handler, emit)
            finally:
                self.scopes.set("_", before[1])
        finally:
            self.statements(attempt.finish, emit)

    def _caught(self, record: ErrorRecord, wanted: tuple[str, ...]) -> bool:
        """Whether a catch clause with these types is for the error: its type or one that it derives from."""
        line = {one.lower() for one in lineage(record.exception_type)}
        return any(types.full_name(name).lower() in line or f"system.management.automation.{name.lower()}" in line for name in wanted)
