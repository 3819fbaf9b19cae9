"""`harness init`: a small project that works at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from harness.cli.options import PATH

# pytest reads one of these alone: a pytest.ini beside another's settings would put them out of force.
_PYTEST_SETTINGS = ("pyproject.toml", "pytest.toml", ".pytest.toml", ".pytest.ini", "tox.ini", "setup.cfg")

_SCOPE = timedelta(days=90)
"""For how long a new project's scope holds: who wants more says so."""


@click.command()
@click.argument("directory", type=PATH, default=".", metavar="[DIR]")
def init(directory: Path) -> int:
    """Write a small project that works at once: settings, a rule, a scenario, its benign twin, and tests.

    DIR is made where it is not there; without it the project is written here. Nothing is overwritten: all files are written, or none.
    """
    import uuid
    from datetime import date

    from harness.errors import Problem, UsageError
    from harness.files import write_new
    from harness.starter_project import project_files

    files = project_files(str(uuid.uuid4()), date.today() + _SCOPE)  # noqa: DTZ011 - a day where the user is
    in_the_way = [name for name in (*files, *_PYTEST_SETTINGS) if (directory / name).exists() or (directory / name).is_symlink()]
    if in_the_way:
        what, fix = f"has {', '.join(in_the_way)} already", "nothing was written; give it a directory of its own: harness init DIR"
        raise UsageError(Problem(path=str(directory), what=what, fix=fix))
    try:
        write_new(directory, files)
    except OSError as error:
        path = str(error.filename or directory)
        raise UsageError(Problem(path=path, what=f"cannot be written: {error.strerror}", fix="nothing was written")) from error
    click.echo(f"Wrote {', '.join(files)}{'' if directory == Path() else f' in {directory}'}.\n\nNext:\n")
    if directory != Path():
        click.echo(f"    cd {directory}")
    click.echo("    harness plan            # what would be sent, and what can be exercised")
    click.echo("    harness run --lab       # detonate on the embedded lab, and judge")
    click.echo("    pytest                  # the same, and the tests in Python\n")
    click.echo("Then write your own rule into rules/, a scenario for it into scenarios/, and your machines into harness.toml.")
    return 0
