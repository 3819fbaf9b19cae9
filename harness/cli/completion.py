"""What the shell completes: `harness completion SHELL` prints the script, click answers it, and here is what it cannot know by itself.

A completion never fails and never prints: where nothing is known there is nothing to complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.settings import Settings

_MOST_DIRECTORIES = 500
"""So many are looked through for scenario files: whoever stands in a whole file system is not to wait for it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that makes SHELL complete commands, options, scenario files, targets and rule ids.

    \b
    bash:  echo 'eval "$(harness completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(harness completion zsh)"' >> ~/.zshrc     (after compinit)
    fish:  harness completion fish > ~/.config/fish/completions/harness.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "harness", "_HARNESS_COMPLETE").source())
    return 0


def scenario_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Scenario files below the directory that was begun; where there are none, any file."""
    typed = Path(incomplete)
    start = typed if incomplete.endswith(("/", os.sep)) or not incomplete else typed.parent
    found = sorted(name for name in _below(start) if name.startswith(incomplete))
    return [CompletionItem(name) for name in found] or [CompletionItem(incomplete, type="file")]


def rule_ids(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the rules that the command is about, with their titles where the shell shows these."""
    from harness.rules.cache import user_cache
    from harness.rules.catalog import load_catalog
    from harness.rules.languages import rule_sources
    from harness.rules.strategy import is_strategy
    from lab.process import RULE_PACK

    try:
        asked = context.params.get("rules") or context.params.get("paths") or _settings(context).rules
        paths = [path for path in dict.fromkeys([*asked, RULE_PACK]) if not is_strategy(path)]
        catalog = load_catalog(paths, rule_sources(), user_cache(), may_be_empty=True)
    except HarnessError:
        return []
    return [CompletionItem(rule.id, help=rule.title) for rule in catalog.rules if rule.id.startswith(incomplete.lower())]


def targets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The lab's hosts with `--lab`, else the targets of the settings."""
    from lab.process import LabConfig, targets_of

    try:
        hosts = targets_of(LabConfig()) if context.params.get("lab") else [each.target for each in _settings(context).targets]
    except HarnessError:
        return []
    return [CompletionItem(host.name, help=host.host) for host in hosts if host.name.startswith(incomplete)]


def _settings(context: click.Context) -> Settings:
    from harness.cli.options import read_settings

    return read_settings(context.params.get("config"))


def _below(start: Path) -> Iterator[str]:
    from harness.scenarios import SUFFIX

    for count, (directory, inner, files) in enumerate(os.walk(start)):
        if count == _MOST_DIRECTORIES:
            return
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield from (str(Path(directory, name)) for name in files if name.endswith(SUFFIX))
