"""The report as one page of HTML that opens from disk: no network, no other file, dark or light as its reader's system is.

`page.html`, `page.css` and `page.js` are its parts; `view.py` says what stands on it. Everything of others is escaped by the template
engine, and a policy in the page itself allows no script and no style but these two, and no request at all. It must never decide anything
about a run.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from harness.model.report import Report
from harness.reports.html.view import page_of
from harness.reports.words import inert


def dump_html(report: Report) -> str:
    """The report as one HTML document with a line end."""
    style, script = _part("page.css"), _part("page.js")
    # Every text that is not markup of ours passes here, whichever way it came: made inert first, then escaped.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    template = environment.from_string(_part("page.html"))
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    return template.render(page=page_of(report), style=Markup(style), script=Markup(script), policy=policy) + "\n"  # noqa: S704 - our own files


def _shown(value: object) -> object:
    return inert(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
