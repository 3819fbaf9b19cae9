"""Where a test session sends scenarios, from pytest's options and settings: the lab, or the targets of a harness.toml.

What stands on the command line goes before what stands in pytest's settings. A harness.toml that merely lies there is read for its
settings, but nothing is sent to its targets: that takes `--harness-config` or `harness_config`. This module must never start anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.assemble import Request
    from harness.core.plan import Selection
    from harness.settings import Settings

_DEFAULT = "harness.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What was asked for. `targets` are the names of all that are sent to, in order; `jump_hosts` the names of all that a step may go by
    way of, by what it may call them, in lower case; `directory` is where pytest was started."""

    settings: Settings
    directory: Path
    jump_hosts: Mapping[str, str]
    lab: bool
    targets: tuple[str, ...]

    def request(self, files: tuple[Path, ...] = (), selection: Selection | None = None) -> Request:
        """The same as the engine's assembly takes it; `files` are scenario files."""
        from harness.assemble import Request
        from harness.core.plan import Selection

        return Request(settings=self.settings, lab=self.lab, targets=self.targets, scenarios=files, selection=selection or Selection())


_WHERE: pytest.StashKey[Where | None] = pytest.StashKey()


def is_asked(config: pytest.Config) -> bool:
    """Whether an option or setting of ours was given at all."""
    options = ("harness_lab", "harness_config", "harness_target", "harness_rules")
    return any(config.getoption(name) for name in options) or any(
        config.getini(name) for name in ("harness_lab", "harness_config", "harness_targets", "harness_rules")
    )


def where(config: pytest.Config) -> Where | None:
    """What was asked for; None where nothing says where to send anything. Raises `pytest.UsageError`."""
    if _WHERE not in config.stash:
        config.stash[_WHERE] = _where(config, lab=_lab(config))
    return config.stash[_WHERE]


def on_lab(config: pytest.Config) -> Where:
    """The embedded lab, whatever else was asked for. Raises `pytest.UsageError`."""
    found = where(config)
    if found is None or not found.lab:
        found = _where(config, lab=True)
    assert found is not None
    return found


def _lab(config: pytest.Config) -> bool:
    if config.getoption("harness_lab"):
        return True
    return bool(config.getini("harness_lab")) and not config.getoption("harness_config")


def _where(config: pytest.Config, *, lab: bool) -> Where | None:
    from harness.errors import UsageError
    from harness.fields import nearest
    from lab.process import LabConfig, targets_of

    named = _named_config(config)
    try:
        settings = _settings(config, named)
    except UsageError as error:
        raise pytest.UsageError(f"harness: {error}") from None
    everyone = targets_of(LabConfig()) if lab else tuple(entry.target for entry in settings.targets)
    known = [target.name for target in everyone]
    if not lab and (named is None or not known):
        return None
    asked = config.getoption("harness_target") or config.getini("harness_targets") or known
    for name in asked:
        if name not in known:
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            raise pytest.UsageError(f"harness: there is no target {name!r} ({hint})")
    called = {name.lower(): each.name for each in everyone for name in (each.computer, each.computer.partition(".")[0], each.name)}
    return Where(settings=settings, directory=config.invocation_params.dir, jump_hosts=called, lab=lab, targets=tuple(dict.fromkeys(asked)))


def _settings(config: pytest.Config, named: Path | None) -> Settings:
    from harness.settings import load_settings

    rules = [config.invocation_params.dir / path for path in config.getoption("harness_rules")] or config.getini("harness_rules")
    lying_there = config.rootpath / _DEFAULT
    unnamed = named is None and "HARNESS_CONFIG" not in os.environ
    file = lying_there if unnamed and lying_there.exists() else named
    return load_settings(file, os.environ, {"rules.paths": tuple(rules)})


def _named_config(config: pytest.Config) -> Path | None:
    if given := config.getoption("harness_config"):
        return config.invocation_params.dir / str(given)
    if setting := config.getini("harness_config"):
        return (config.inipath.parent if config.inipath is not None else config.rootpath) / str(setting)
    return None
